"""The pass through whole networks: accounts that close, routing layers, targets, and clear refusals."""

import re
import weakref
from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError, RuleError
from rationale.lrp import COMPOSITES, Composite, propagate
from rationale.lrp.rules import flat, lrp_0
from rationale.model import Model
from tests import networks

BOUNDS = (-6.0, 6.0)

NETWORKS = {
    "branches": (
        networks.convolution("stem", "data", 4, 3, "pad: 1")
        + networks.relu("relu", "stem")
        + networks.convolution("left", "stem", 3, 1)
        + networks.convolution("right", "stem", 3, 3, "pad: 1")
        + networks.layer("both", "Concat", "left right")
        + networks.relu("relu2", "both")
        + networks.layer("pool", "Pooling", "both", more="pooling_param { pool: AVE global_pooling: true }")
        + networks.layer("flat", "Flatten", "pool")
        + networks.dense("score", "flat", 3)
        + networks.layer("prob", "Softmax", "score")
    ),
    "overlapping pools": (
        networks.convolution("conv1", "data", 6, 3)
        + networks.relu("relu1", "conv1")
        + networks.layer("max", "Pooling", "conv1", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
        + networks.layer("mean", "Pooling", "max", more="pooling_param { pool: AVE kernel_size: 2 stride: 1 pad: 1 }")
        + networks.dense("hidden", "mean", 8)
        + networks.relu("relu2", "hidden")
        + networks.layer("drop", "Dropout", "hidden", "hidden")
        + networks.dense("score", "hidden", 3)
    ),
    "scaled input": (
        networks.layer("scale", "Scale", "data", more="scale_param { filler { value: 0.1 } bias_term: true }")
        + networks.layer("power", "Power", "scale", more="power_param { scale: 3 shift: -0.5 }")
        + networks.convolution("conv", "power", 4, 3)
        + networks.layer("elu", "ELU", "conv", "conv")
        + networks.dense("score", "conv", 3)
    ),
    "residual with BatchNorm": (
        networks.convolution("stem", "data", 4, 3, "pad: 1 bias_term: false")
        + networks.layer("norm1", "BatchNorm", "stem", "stem")
        + networks.layer(
            "scale1", "Scale", "stem", "stem", "scale_param { bias_term: true bias_filler { value: 0.1 } }"
        )
        + networks.relu("relu1", "stem")
        + networks.convolution("inner", "stem", 4, 3, "pad: 1")
        + networks.layer("norm2", "BatchNorm", "inner")
        + networks.layer("sum", "Eltwise", "stem norm2", more="eltwise_param { coeff: 1 coeff: 0.5 }")
        + networks.relu("relu2", "sum")
        + networks.layer("pool", "Pooling", "sum", more="pooling_param { pool: AVE global_pooling: true }")
        + networks.dense("score", "pool", 3)
    ),
    "groups and LRN": (
        networks.convolution("conv1", "data", 4, 3, "stride: 1")
        + networks.relu("relu1", "conv1")
        + networks.layer("norm1", "LRN", "conv1", more="lrn_param { local_size: 3 alpha: 0.1 }")
        + networks.convolution("conv2", "norm1", 6, 3, "group: 2 pad: 2 dilation: 2")
        + networks.relu("relu2", "conv2")
        + networks.dense("score", "conv2", 3)
    ),
    "joins": (
        networks.convolution("a", "data", 4, 3)
        + networks.convolution("b", "data", 4, 3)
        + networks.layer("sigmoid", "Sigmoid", "b")
        + networks.layer("gated", "Eltwise", "a sigmoid", more="eltwise_param { operation: PROD }")
        + networks.layer("largest", "Eltwise", "a b", more="eltwise_param { operation: MAX }")
        + networks.layer("sum", "Eltwise", "gated largest b", more="eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }")
        + networks.dense("score", "sum", 3)
    ),
    "deconvolution and slices": (
        networks.layer(
            "up",
            "Deconvolution",
            "data",
            more="convolution_param { num_output: 4 kernel_size: 3 stride: 2 group: 1 "
            'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 } }',
        )
        + networks.relu("relu1", "up")
        + 'layer { name: "cut" type: "Slice" bottom: "up" top: "low" top: "high" slice_param { slice_point: 1 } }\n'
        + networks.convolution("left", "low", 2, 3)
        + networks.convolution("right", "high", 2, 3)
        + networks.layer("both", "Concat", "left right")
        + networks.dense("score", "both", 3)
    ),
    "shared weights": (
        networks.convolution("first", "data", 3, 3, "pad: 1").replace(
            "convolution_param", 'param { name: "w" } param { name: "b" } convolution_param'
        )
        + networks.relu("relu1", "first")
        + networks.convolution("second", "first", 3, 3, "pad: 1").replace(
            "convolution_param", 'param { name: "w" } param { name: "b" } convolution_param'
        )
        + networks.relu("relu2", "second")
        + networks.dense("score", "second", 3)
    ),
    "a convolution at the top": (
        networks.convolution("conv", "data", 6, 3)
        + networks.relu("relu", "conv")
        + networks.convolution("top", "conv", 4, 1)
        + networks.layer("pool", "Pooling", "top", more="pooling_param { pool: AVE global_pooling: true }")
        + networks.layer("prob", "Softmax", "pool")
    ),
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layers_account_closes(name: str, composite: str, tmp_path: Path) -> None:
    """received = passed on + biases + stabiliser, to 1e-4 of f(x), and what arrives is what the map adds up to."""
    network = networks.load(tmp_path, NETWORKS[name])
    found = propagate(network, networks.batch_for(network, 5), composite=composite, bounds=BOUNDS)
    assert found.ledger.largest_residual() < 1e-4
    absorbed = sum(entry.bias + entry.stabiliser for entry in found.ledger)
    arrived = found["data"].reshape(5, -1).sum(axis=1, dtype=np.float64)
    start = found.ledger.start
    np.testing.assert_allclose(arrived + absorbed, start, rtol=0, atol=2e-4 * np.abs(start).min())


@pytest.mark.parametrize("composite", COMPOSITES)
def test_relevance_is_conserved_without_biases(composite: str, tmp_path: Path) -> None:
    body = NETWORKS["branches"]
    network = networks.load(tmp_path, body)
    for name in ("stem", "left", "right", "score"):
        network.parameters(network.graph.node(name))[1][...] = 0
    found = propagate(network, networks.batch_for(network, 4), composite=composite, bounds=BOUNDS)
    assert all(np.all(entry.bias == 0) for entry in found.ledger)
    if composite == "epsilon":  # αβ and z⁺ lose what has no contribution of the right sign, as the ledger says
        np.testing.assert_allclose(found["data"].reshape(4, -1).sum(axis=1), found.scores, rtol=1e-3)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_real_digits_close_the_account(composite: str, mnist_model: Model, digits: np.ndarray) -> None:
    batch = mnist_model.preprocess(list(digits))
    found = propagate(mnist_model.network, batch, composite=composite, bounds=BOUNDS)
    assert found.ledger.largest_residual() < 1e-4


def test_max_pooling_gives_all_to_the_winner(tmp_path: Path) -> None:
    body = networks.layer("max", "Pooling", "data", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    network = networks.load(tmp_path, body + networks.dense("score", "max", 2), (1, 1, 4, 4))
    batch = networks.batch_for(network, 1)
    found = propagate(network, batch, target=0)
    for y, x in np.ndindex(2, 2):
        window = batch[0, 0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        given = found["data"][0, 0, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert given.ravel()[window.argmax()] == found["max"][0, 0, y, x]
        assert np.count_nonzero(given) <= 1


def test_average_pooling_gives_by_contribution_and_never_multiplies(tmp_path: Path) -> None:
    body = networks.layer("mean", "Pooling", "data", more="pooling_param { pool: AVE kernel_size: 4 }")
    network = networks.load(tmp_path, body + networks.dense("score", "mean", 2), (1, 1, 4, 4))
    batch = np.abs(networks.batch_for(network, 1))
    found = propagate(network, batch, target=0, composite="epsilon-alpha2-beta1")
    expected = batch[0] / batch[0].sum() * found["mean"].sum()
    np.testing.assert_allclose(found["data"][0], expected, rtol=1e-4)


def test_results_do_not_depend_on_the_batch_or_on_earlier_calls(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(network, 5)
    for composite in COMPOSITES:
        whole = propagate(network, batch, target=1, composite=composite, bounds=BOUNDS)["data"]
        reversed_ = propagate(network, batch[::-1].copy(), target=1, composite=composite, bounds=BOUNDS)["data"][::-1]
        single = np.concatenate(
            [propagate(network, each[None], target=1, composite=composite, bounds=BOUNDS)["data"] for each in batch]
        )
        scale = np.abs(whole).max()
        np.testing.assert_allclose(reversed_, whole, rtol=0, atol=1e-5 * scale)
        np.testing.assert_allclose(single, whole, rtol=0, atol=1e-5 * scale)


def test_weights_and_activations_are_left_as_they_were(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["overlapping pools"])
    batch = networks.batch_for(network, 2)
    before = network.forward(batch)["score"]
    weights = [array.copy() for node in network.graph.nodes for array in network.parameters(node)]
    activation = network.activation("conv1")
    for composite in COMPOSITES:
        propagate(network, batch, composite=composite, bounds=BOUNDS)
    np.testing.assert_array_equal(network.activation("conv1"), activation)
    for old, new in zip(weights, (a for node in network.graph.nodes for a in network.parameters(node)), strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(network.forward(batch)["score"], before)


def test_targets_and_kept_layers(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(network, 3)
    found = propagate(network, batch, target=[2, 0, 1], keep=["data", "left"])
    assert list(found) == ["left", "data"]
    np.testing.assert_array_equal(found.scores, found.outputs[range(3), [2, 0, 1]])
    assert found.channels("left").shape == (3, 3)
    best = propagate(network, batch)
    np.testing.assert_array_equal(best.targets, best.outputs.argmax(axis=1))
    everything = [
        node.name for node in network.graph.nodes if node.type not in ("Split", "Softmax") and not node.in_place
    ]
    assert sorted(best) == sorted(everything)
    with pytest.raises(KeyError, match="no relevance was kept at 'stem'"):
        found["stem"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"target": 3}, RuleError, "out of range: layer 'score' has classes 0 to 2"),
        ({"target": -1}, RuleError, "out of range"),
        ({"target": [0, 1]}, RuleError, "one for each of the 3 samples"),
        ({"target": 0.5}, RuleError, "class number"),
        ({"composite": "magic"}, RuleError, "no composite is named 'magic'"),
        ({"target_layer": "nothing"}, NetworkError, "no layer is named 'nothing'"),
        ({"target_layer": "stem"}, RuleError, "64 scores a class"),
        ({"keep": ["data", "prob"]}, RuleError, "does not reach prob"),
    ],
)
def test_mistakes_are_named(arguments: dict, error: type, message: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    with pytest.raises(error, match=message):
        propagate(network, networks.batch_for(network, 3), **arguments)


@pytest.mark.parametrize("over", ["", networks.relu("relu", "mean")], ids=["plain", "under a ReLU in place"])
def test_flat_goes_on_through_average_pooling(over: str, tmp_path: Path) -> None:
    """Below a rule that does not look at activations the pool spreads evenly, also where its average is zero."""
    pool = networks.layer("mean", "Pooling", "data", more="pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }")
    body = pool + over + networks.convolution("conv", "mean", 4, 3) + networks.dense("score", "conv", 3)
    network = networks.load(tmp_path, body)
    found = propagate(network, networks.batch_for(network, 3), composite="epsilon-plus-flat")
    assert found.ledger.largest_residual() < 1e-4
    received = found["mean"].reshape(3, -1).sum(axis=1)
    np.testing.assert_allclose(found["data"].reshape(3, -1).sum(axis=1), received, rtol=1e-4)
    assert np.abs(found["data"]).max() <= np.abs(found["mean"]).max()


def test_what_lrp_0_loses_is_booked(tmp_path: Path) -> None:
    body = networks.convolution("low", "data", 4, 3) + networks.relu("relu", "low") + networks.dense("score", "low", 3)
    network = networks.load(tmp_path, body)
    for array in network.parameters(network.graph.node("low")):
        array[...] = 0
    network.parameters(network.graph.node("score"))[1][...] = 1
    rules = Composite("test", {"Convolution": lrp_0(), "InnerProduct": flat()})
    found = propagate(network, networks.batch_for(network, 1), composite=rules)
    assert found.ledger["low"].stabiliser == pytest.approx(found.scores, rel=1e-4)
    assert found.ledger.largest_residual() < 1e-4
    assert "low" in repr(found.ledger)


def test_memory_goes_when_the_network_goes(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    propagate(network, networks.batch_for(network, 2))
    alive = weakref.ref(network)
    del network
    assert alive() is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            networks.layer("rows", "InnerProduct", "data", more="inner_product_param { num_output: 4 axis: 2 }")
            + networks.layer("norm", "Flatten", "rows"),
            "'rows': there is no relevance rule for InnerProduct along another axis",
        ),
        (networks.layer("norm", "MVN", "data"), "'norm': there is no relevance rule for MVN"),
        (
            networks.layer("squares", "Reduction", "data", more="reduction_param { operation: SUMSQ axis: 2 }"),
            "'squares': there is no relevance rule for Reduction",
        ),
    ],
)
def test_a_layer_without_a_rule_is_an_error_not_a_silent_pass(body: str, message: str, tmp_path: Path) -> None:
    name = re.findall(r'top: "(\w+)"', body)[-1]
    network = networks.load(tmp_path, body + networks.dense("score", name, 2))
    with pytest.raises(RuleError, match=message):
        propagate(network, networks.batch_for(network, 1))
