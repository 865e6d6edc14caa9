"""Relevance must start at the score before anything squashes it, and numbers be called what the network makes them."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.lrp import propagate
from rationale.network import Network
from tests import networks
from tests.networks import batch_for, convolution, dense, layer, relu

SOFTMAX = layer("prob", "Softmax", "score")
SIGMOID = layer("prob", "Sigmoid", "score")
TWO_LOGITS = "inner_product_param { num_output: %d bias_term: false }"

# Layers over `score`, and what they make the output: all leave the order of the scores as it is.
TOPS = {
    "nothing": ("", "values"),
    "softmax": (SOFTMAX, "classes"),
    "softmax in place": (layer("prob", "Softmax", "score", "score"), "classes"),
    "sigmoid in place": (layer("prob", "Sigmoid", "score", "score"), "labels"),
    "tanh": (layer("squashed", "TanH", "score"), "values"),
    "log of softmax": (SOFTMAX + layer("log", "Log", "prob"), "classes"),
    "power of softmax": (SOFTMAX + layer("percent", "Power", "prob", more="power_param { scale: 100 }"), "classes"),
    "scaled sigmoid": (SIGMOID + layer("s", "Scale", "prob", more="scale_param { filler { value: 9 } }"), "labels"),
    "argmax": (SOFTMAX + layer("best", "ArgMax", "prob"), "classes"),
    "argmax alone": (layer("best", "ArgMax", "score"), "values"),
    "flat": (SOFTMAX + layer("flat", "Flatten", "prob"), "classes"),
    "reshaped": (layer("rows", "Reshape", "score", more="reshape_param { shape { dim: 0 dim: 1 dim: 5 } }")
                 + layer("prob", "Softmax", "rows", more="softmax_param { axis: 2 }"), "classes"),
    "silenced": (SOFTMAX + 'layer { name: "hush" type: "Silence" bottom: "prob" }', "classes"),
    "dropout": (layer("drop", "Dropout", "score", "score") + SOFTMAX, "classes"),
    "relu in place": (relu("relu", "score") + SOFTMAX, "classes"),
    "read twice": (SIGMOID.replace("prob", "other") + SOFTMAX, "classes"),
}  # fmt: skip


@pytest.mark.parametrize("top", TOPS)
def test_what_squashes_scores_changes_no_heatmap(top: str, tmp_path: Path) -> None:
    """A Sigmoid's probability shared out by the weights gave evidence against as evidence for."""
    over, meaning = TOPS[top]
    body = convolution("conv", "data", 4, 3) + relu("first", "conv") + dense("score", "conv", 5)
    plain = networks.load(tmp_path, body)
    network = networks.load(tmp_path, body + over)
    assert network.graph.score_node().name == "score"
    head = network.graph.head()
    assert head is not None
    assert head.meaning == meaning
    batch = batch_for(plain, 2)
    for target in (0, 4, None):
        expected, found = (propagate(each, batch, target, composite="lrp-0") for each in (plain, network))
        np.testing.assert_array_equal(found.targets, expected.targets)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
        np.testing.assert_allclose(found["data"], expected["data"], rtol=1e-5, atol=1e-7)


def test_losses_and_accuracies_are_no_outputs(tmp_path: Path) -> None:
    label = layer("label", "Input", top="label", more="input_param { shape { dim: 1 } }")
    judged = layer("loss", "SoftmaxWithLoss", "score label") + layer("right", "Accuracy", "score label")
    assert networks.load(tmp_path, label + dense("score", "data", 3) + judged).graph.score_node().name == "score"


@pytest.mark.parametrize("top", [SIGMOID, layer("prob", "TanH", "score"), ""])
def test_two_numbers_by_hand(top: str, tmp_path: Path) -> None:
    """x = (2, 1), w = (−1, 1): the logit is −1, and x shares it as (−2, +1)."""
    body = layer("score", "InnerProduct", "data", more=TWO_LOGITS % 1) + top
    network = networks.load(tmp_path, body, (1, 2, 1, 1))
    network.parameters(network.graph.node("score"))[0][...] = [[-1, 1]]
    relevance = propagate(network, np.array([2, 1], np.float32).reshape(1, 2, 1, 1), composite="lrp-0")
    assert relevance.scores == pytest.approx([-1])
    assert relevance["data"].ravel() == pytest.approx([-2, 1])


@pytest.mark.parametrize(
    ("over", "name"),
    [
        # these change which score is higher, or are what is asked about
        (layer("turned", "Power", "score", more="power_param { scale: -1 }"), "turned"),
        (layer("sized", "AbsVal", "score"), "sized"),
        (layer("scaled", "Scale", "score", more="scale_param { filler { value: -2 } }"), "scaled"),
        (layer("years", "Power", "score", more="power_param { scale: 100 shift: 5 }"), "years"),  # a regression's unit
    ],
)
def test_what_does_more_than_squash_is_explained_itself(over: str, name: str, tmp_path: Path) -> None:
    assert networks.load(tmp_path, dense("score", "data", 3) + over).graph.score_node().name == name


def test_maps_are_not_explained_under_their_relu(tmp_path: Path) -> None:
    """The sum over places of what a ReLU leaves is not the sum of what goes into it."""
    network = networks.load(tmp_path, convolution("maps", "data", 4, 3) + relu("relu", "maps"))
    assert network.graph.score_node().name == "relu"


def two_heads() -> str:
    body = convolution("conv", "data", 4, 3)
    for head, count in (("age", 8), ("sex", 2)):
        body += dense(f"fc_{head}", "conv", count) + layer(f"prob_{head}", "Softmax", f"fc_{head}")
    return body


def test_of_two_heads_one_must_be_named(tmp_path: Path) -> None:
    network = networks.load(tmp_path, two_heads())
    with pytest.raises(NetworkError, match="outputs: prob_age, prob_sex; name the target layer"):
        propagate(network, batch_for(network, 1))
    batch = batch_for(network, 2)
    by_score, by_end = (propagate(network, batch, target_layer=name) for name in ("fc_age", "prob_age"))
    np.testing.assert_array_equal(by_score["data"], by_end["data"])
    assert network.outcome("prob_sex").numbers.shape == (2, 2)
    assert network.outcome("fc_age").numbers.sum(axis=1) == pytest.approx([1, 1])


def test_a_regression_explained_under_its_unit_still_says_its_value(tmp_path: Path) -> None:
    years = layer("years", "Power", "score", more="power_param { scale: 100 shift: 5 }")
    network = networks.load(tmp_path, dense("score", "data", 1) + years)
    network.forward(batch_for(network, 2))
    assert network.graph.score_node("score").name == "score"
    np.testing.assert_allclose(network.outcome("score").numbers, network.activation("years"), rtol=1e-6)


def test_a_unit_of_a_named_layer_is_that_layers(tmp_path: Path) -> None:
    network = networks.load(tmp_path, dense("score", "data", 3) + SIGMOID)
    batch = batch_for(network, 2)
    relevance = propagate(network, batch, target_layer="prob", unit=1)
    np.testing.assert_allclose(relevance.scores, network.activation("prob")[:, 1], rtol=1e-6)


def outputs(folder: Path, over: str) -> tuple[Network, np.ndarray]:
    network = networks.load(folder, dense("score", "data", 3) + over)
    network.forward(batch_for(network, 2))
    return network, network.activation("score").astype(np.float64)


def test_numbers_are_what_the_network_says(tmp_path: Path) -> None:
    temperature = layer("cool", "Power", "score", more="power_param { scale: 0.5 }") + layer("prob", "Softmax", "cool")
    network, scores = outputs(tmp_path, temperature)
    powers = np.exp(scores / 2)
    np.testing.assert_allclose(network.outcome().numbers, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    network, scores = outputs(tmp_path, SIGMOID + layer("percent", "Power", "prob", more="power_param { scale: 100 }"))
    np.testing.assert_allclose(network.outcome().numbers, 1 / (1 + np.exp(-scores)), rtol=1e-5)
    # a regression squashed into 0 … 100 is told by stating so
    np.testing.assert_allclose(network.outcome(meaning="values").numbers, 100 / (1 + np.exp(-scores)), rtol=1e-5)
    network, scores = outputs(tmp_path, "")
    assert network.outcome().meaning == "values"
    np.testing.assert_allclose(network.outcome().numbers, scores, rtol=1e-6)
    powers = np.exp(scores)
    stated = network.outcome(meaning="classes").numbers
    np.testing.assert_allclose(stated, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)


def test_a_probability_near_one_is_not_one(tmp_path: Path) -> None:
    network = networks.load(tmp_path, dense("score", "data", 2) + SOFTMAX)
    weights, bias = network.parameters(network.graph.node("score"))
    weights[...], bias[...] = 0, [30, 0]
    network.forward(batch_for(network, 1))
    assert 1 - 1e-12 < network.outcome().numbers[0, 0] < 1
