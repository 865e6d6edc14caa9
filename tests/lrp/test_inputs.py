"""Several inputs, words as inputs, and everything that a user can get wrong."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError, RationaleError
from rationale.lrp import COMPOSITES, propagate
from rationale.network import Network
from tests import networks
from tests.lrp.test_backward import BOUNDS, NETWORKS

SECOND = 'layer { name: "other" type: "Input" top: "other" input_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } } }\n'
TWO_INPUTS = (
    SECOND
    + networks.convolution("left", "data", 4, 3, "pad: 1")
    + networks.relu("relu_left", "left")
    + networks.convolution("right", "other", 4, 3, "pad: 1")
    + networks.layer("both", "Eltwise", "left right")
    + networks.dense("score", "both", 3)
)
FILLER = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def embed(bias: bool) -> str:
    more = f"embed_param {{ input_dim: 5 num_output: 6 bias_term: {str(bias).lower()} {FILLER} }}"
    return networks.layer("words", "Embed", "data", more=more) + networks.dense("score", "words", 4)


WORDS = np.array([[1, 4, 0], [2, 2, 3]], np.float32)


def two_inputs(network: Network, count: int = 3) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = network.inputs.items()
    return {name: random.normal(size=(count, *shape[1:])).astype(np.float32) for name, shape in shapes}


@pytest.mark.parametrize("composite", COMPOSITES)
def test_several_inputs_share_the_score(composite: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, TWO_INPUTS)
    found = propagate(network, two_inputs(network), 1, composite=composite, bounds=BOUNDS)
    received = found["data"].sum(axis=(1, 2, 3)) + found["other"].sum(axis=(1, 2, 3))
    absorbed = sum(entry.bias + entry.stabiliser for entry in found.ledger)
    np.testing.assert_allclose(received + absorbed, found.ledger.start, rtol=1e-4, atol=1e-5)
    assert found.ledger.largest_residual() < 1e-4


def test_what_one_input_does_not_reach_gets_nothing(tmp_path: Path) -> None:
    network = networks.load(tmp_path, TWO_INPUTS)
    batch = two_inputs(network)
    found = propagate(network, batch, unit=2, target_layer="left", composite="epsilon")
    assert "other" not in found
    assert np.any(found["data"] != 0)


@pytest.mark.parametrize("bias", [False, True])
def test_a_word_gets_the_relevance_of_its_vector(bias: bool, tmp_path: Path) -> None:
    """As a dense layer over one-hot words."""
    network = networks.load(tmp_path, embed(bias), (2, 3))
    found = propagate(network, WORDS, 2, composite="epsilon")
    vectors, *offset = network.parameters(network.graph.node("words"))
    brought = vectors[WORDS.astype(int)]
    outputs = brought + (offset[0] if bias else 0)
    expected = (brought / (outputs + 1e-6 * np.where(outputs < 0, -1, 1)) * found["words"]).sum(axis=-1)
    np.testing.assert_allclose(found["data"], expected, rtol=1e-4, atol=1e-5)
    assert found.ledger.largest_residual() < 1e-4
    assert bool(np.any(found.ledger["words"].bias != 0)) == bias


def test_words_have_no_gradient_but_their_vectors_have(tmp_path: Path) -> None:
    network = networks.load(tmp_path, embed(bias=True), (2, 3))
    network.forward(WORDS)
    assert (network.backward("score", unit=1)["data"] == 0).all()
    weights = network.parameters(network.graph.node("score"))[0][1].reshape(3, 6)
    np.testing.assert_allclose(network.gradient_at("words"), np.stack([weights] * 2), rtol=1e-5)


TWO_ENDS = networks.dense("one", "data", 2) + networks.dense("two", "data", 3)


@pytest.mark.parametrize(
    ("body", "options", "message"),
    [
        (networks.low_and_high(), {"batch": np.nan}, "NaN or infinity"),
        (networks.low_and_high(), {"batch": np.inf}, "NaN or infinity"),
        (networks.low_and_high(), {"target": 3}, r"out of range: layer 'score' has classes 0 to 2"),
        (networks.low_and_high(), {"target": [0, -1]}, "out of range"),
        (networks.low_and_high(), {"target": [0, 1, 2]}, "one class number, or one for each of the 2"),
        (networks.low_and_high(), {"target": 1.5}, "one class number"),
        (networks.low_and_high(), {"target_layer": "fc9"}, "no layer is named 'fc9'; there are data, low"),
        (networks.low_and_high(), {"keep": ["fc9"]}, "does not reach fc9"),
        (TWO_ENDS, {}, "which layer holds the class scores.*one, two"),
        (networks.relu("relu", "data"), {}, "scores a class"),
        (
            networks.low_and_high(),
            {"composite": COMPOSITES["epsilon"].with_layers({"conv*": "z+"})},
            r"'conv\*' fits no layer with weights; there are low, high, score",
        ),
        (networks.low_and_high(), {"composite": "epsilon-squared"}, "no composite is named"),
        (networks.low_and_high(), {"composite": "epsilon-gamma-box"}, "bounds"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, str | dict) else "",
)
def test_a_mistake_is_an_error_that_names_it(
    body: str, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    network = networks.load(tmp_path, body)
    batch = networks.batch_for(network, 2)
    if "batch" in options:
        batch[1, 0, 3, 3] = options["batch"]
    with pytest.raises(RationaleError, match=message):
        propagate(network, batch, **{name: value for name, value in options.items() if name != "batch"})


def test_an_input_that_is_missing_is_named(tmp_path: Path) -> None:
    network = networks.load(tmp_path, TWO_INPUTS)
    batch = two_inputs(network)
    with pytest.raises(NetworkError, match="the inputs are data, other, not data"):
        propagate(network, {"data": batch["data"]}, 1)
    with pytest.raises(NetworkError, match="give an array for each by name"):
        propagate(network, batch["data"], 1)


def test_relevance_is_found_under_every_name_of_its_layer(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["residual with BatchNorm"])
    found = propagate(network, networks.batch_for(network, 2), 1, composite="epsilon")
    own = set(network.graph.layer_names) | set(network.graph.aliases)
    assert {name for name in own if name in found} == own - _above_the_score(network)
    for name, target in network.graph.aliases.items():
        np.testing.assert_array_equal(found[name], found[target])


def _above_the_score(network: Network) -> set[str]:
    below = {node.name for node in network.graph.below(network.graph.score_node())}
    return {name for name in network.graph.layer_names if name not in below}
