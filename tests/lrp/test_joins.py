"""Pools, sums, gates and constants: who gets what, by which rule, and with which stabiliser."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import RuleError
from rationale.lrp import COMPOSITES, Composite, propagate
from rationale.lrp.rules import Rule, epsilon, parse_rule
from rationale.network import Network
from tests import networks
from tests.lrp import reference
from tests.lrp.test_backward import BOUNDS

TEXTS = ["0", "epsilon(0.3)", "epsilon(0.1, relative)", "epsilon(0.2, spread-bias)", "z+", "alpha-beta(2, 1)"]
TEXTS += ["gamma(0.5)", "excitation", "w2", "flat", "box(-4, 5)"]

SMALL = (
    networks.convolution("low", "data", 6, 3, "bias_term: false")
    + networks.relu("relu", "low")
    + networks.layer("pool", "Pooling", "low", more="pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + networks.layer("sum", "Eltwise", "pool pool", more="eltwise_param { coeff: 1 coeff: 0.5 }")
    + networks.dense("score", "sum", 3, "bias_term: false")
)


def scaled(folder: Path, scale: float) -> Network:
    """The same function whatever the scale is, with activations of that size inside."""
    network = networks.load(folder, SMALL)
    network.parameters(network.graph.node("low"))[0][...] *= scale
    network.parameters(network.graph.node("score"))[0][...] /= scale
    return network


@pytest.mark.parametrize("scale", [1e-3, 1e-5, 1e-6])
def test_lrp_0_does_not_know_the_scale_of_activations(scale: float, tmp_path: Path) -> None:
    """A stabiliser of 1e-6 in pools and sums took up to two thirds of the score under LRP-0."""
    one, other = scaled(tmp_path, 1), scaled(tmp_path, scale)
    batch = networks.batch_for(one, 2)
    expected, found = (propagate(network, batch, 1, composite="lrp-0") for network in (one, other))
    np.testing.assert_allclose(found["data"], expected["data"], atol=1e-4 * np.abs(expected["data"]).max())
    np.testing.assert_allclose(found["data"].sum(axis=(1, 2, 3)), found.scores, rtol=1e-4)


@pytest.mark.parametrize("size", [1e-6, 1e-2])
def test_what_the_stabiliser_takes_is_the_composites_own_and_booked(size: float, tmp_path: Path) -> None:
    network = scaled(tmp_path, 1e-2)
    rules = Composite("mine", {"Convolution": epsilon(size), "InnerProduct": epsilon(size)})
    found = propagate(network, networks.batch_for(network, 2), 1, composite=rules)
    assert {found.ledger[name].rule for name in ("pool", "sum")} == {f"epsilon({size:g})"}
    for name in ("sum", "pool"):
        below = {"sum": "pool", "pool": "low"}[name]
        z = network.activation(name).astype(np.float64)
        taken = (found[name] * size * reference.sign(z) / (z + size * reference.sign(z))).sum(axis=(1, 2, 3))
        np.testing.assert_allclose(found.ledger[name].stabiliser, taken, rtol=1e-4, atol=1e-9)
        passed = found[name].sum(axis=(1, 2, 3)) - taken
        np.testing.assert_allclose(found[below].sum(axis=(1, 2, 3)), passed, rtol=1e-4)


@pytest.mark.parametrize("text", TEXTS)
def test_an_average_pool_takes_every_rule(text: str, tmp_path: Path) -> None:
    """It is a layer whose weights are one over the size of the window."""
    pool = networks.layer("pool", "Pooling", "data", more="pooling_param { pool: AVE kernel_size: 3 stride: 2 }")
    network = networks.load(tmp_path, pool + networks.dense("score", "pool", 3), (1, 1, 7, 7))
    weights = np.full((1, 1, 3, 3), 1 / 9)
    layer = reference.convolution_matrix(weights, None, (1, 7, 7), stride=2)
    rules = COMPOSITES["epsilon"].with_layers({"type:Pooling": text})
    check_against(network, "pool", rules, parse_rule(text), layer)


@pytest.mark.parametrize("text", TEXTS)
def test_a_sum_takes_every_rule(text: str, tmp_path: Path) -> None:
    """It is a dense layer from each of its inputs; here of one number each, so that the matrix is its coefficients."""
    body = (
        'layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" top: "c" }\n'
        + networks.layer("sum", "Eltwise", "a b c", more="eltwise_param { coeff: 1 coeff: -2 coeff: 0.5 }")
        + networks.dense("score", "sum", 2)
    )
    network = networks.load(tmp_path, body, (1, 3, 1, 1))
    layer = reference.dense_matrix(np.array([[1, -2, 0.5]]), None)
    rules = COMPOSITES["epsilon"].with_layers({"s?m": text})
    check_against(network, "sum", rules, parse_rule(text), layer)


def check_against(network: Network, name: str, rules: Composite, rule: Rule, layer: reference.Matrix) -> None:
    batch = networks.batch_for(network, 3)
    found = propagate(network, batch, 1, composite=rules)
    assert found.ledger[name].rule == rule.name
    for sample in range(3):
        above = found[name][sample].ravel().astype(np.float64)
        expected = reference.by_rule(layer, batch[sample].ravel().astype(np.float64), above, rule)
        np.testing.assert_allclose(found["data"][sample].ravel(), expected, atol=2e-5 * np.abs(expected).max())
    assert found.ledger.largest_residual() < 1e-4


@pytest.mark.parametrize(
    "geometry",
    ["kernel_size: 3 stride: 2", "kernel_size: 3 stride: 1 pad: 1", "kernel_h: 2 kernel_w: 3", "global_pooling: true"],
)
def test_a_maximum_gives_evenly_where_a_rule_says_so(geometry: str, tmp_path: Path) -> None:
    """As the LRP toolbox's flat and w² do; the windows of Caffe may reach over the edge."""
    folders = [tmp_path / kind for kind in ("MAX", "AVE")]
    found = []
    for folder in folders:
        folder.mkdir()
        pool = f"pooling_param {{ pool: {folder.name} {geometry} }}"
        body = networks.layer("pool", "Pooling", "data", more=pool) + networks.dense("score", "pool", 3)
        network = networks.load(folder, body, (1, 2, 8, 7))
        given = networks.batch_for(network, 2)
        rules = COMPOSITES["epsilon"].with_layers({"pool": "flat", "score": "flat"})
        found.append(propagate(network, given, unit=1, composite=rules))
    # Both pools see the same windows, and under `flat` the dense layer hands each the same shares of its score.
    shares = [each["data"] / each.scores[:, None, None, None] for each in found]
    np.testing.assert_allclose(shares[0], shares[1], rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(shares[0].sum(axis=(1, 2, 3)), 1, rtol=1e-5)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_the_winner_takes_all_whatever_the_composite_says_of_weights(composite: str, tmp_path: Path) -> None:
    body = networks.layer("pool", "Pooling", "data", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    network = networks.load(tmp_path, body + networks.dense("score", "pool", 2), (1, 1, 8, 8))
    found = propagate(network, networks.batch_for(network, 1), composite=composite, bounds=BOUNDS)
    assert np.count_nonzero(found["data"]) <= found["pool"].size


GATE = (
    networks.convolution("low", "data", 4, 3, "pad: 1")
    + networks.relu("relu", "low")
    + networks.layer("squeeze", "Pooling", "low", more="pooling_param { pool: AVE global_pooling: true }")
    + networks.dense("excite", "squeeze", 4)
    + networks.layer("gate", "Sigmoid", "excite")
    + networks.layer("gated", "Scale", "low gate", more="scale_param { axis: 0 bias_term: false }")
    + networks.dense("score", "gated", 3)
)


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_gate_gets_nothing_and_the_signal_all(composite: str, tmp_path: Path) -> None:
    """Squeeze and excitation: what the gate would get would leave the picture's own evidence."""
    network = networks.load(tmp_path, GATE)
    found = propagate(network, networks.batch_for(network, 3), 1, composite=composite, bounds=BOUNDS)
    np.testing.assert_array_equal(found["low"], found["gated"])
    assert not any(np.any(found[name]) for name in ("gate", "excite", "squeeze"))
    arrived = found["data"].reshape(3, -1).sum(axis=1, dtype=np.float64)
    absorbed = sum(entry.bias + entry.stabiliser for entry in found.ledger)
    scale = np.abs(found["low"]).reshape(3, -1).sum(axis=1)
    np.testing.assert_array_less(np.abs(arrived + absorbed - found.ledger.start), 1e-5 * scale)


def test_a_gate_may_hold_layers_without_a_rule(tmp_path: Path) -> None:
    """Attention by Softmax: relevance never comes there."""
    body = GATE.replace('"Sigmoid"', '"Softmax"')
    network = networks.load(tmp_path, body)
    found = propagate(network, networks.batch_for(network, 2), 1, target_layer="score", composite="epsilon")
    assert found.ledger.largest_residual() < 1e-4


def test_a_product_is_shared_equally(tmp_path: Path) -> None:
    body = (
        networks.convolution("a", "data", 4, 3)
        + networks.convolution("b", "data", 4, 3)
        + networks.layer("product", "Eltwise", "a b", more="eltwise_param { operation: PROD }")
        + networks.dense("score", "product", 3)
    )
    network = networks.load(tmp_path, body)
    found = propagate(network, networks.batch_for(network, 2), 1, composite="epsilon")
    for factor in ("a", "b"):
        np.testing.assert_array_equal(found[factor], found["product"] / 2)


def test_a_computed_bias_takes_what_it_adds(tmp_path: Path) -> None:
    body = (
        networks.convolution("signal", "data", 4, 3)
        + networks.dense("shift", "data", 4)
        + networks.layer("sum", "Bias", "signal shift", more="bias_param { axis: 0 }")
        + networks.relu("relu", "sum")
        + networks.layer("power", "Power", "sum", more="power_param { shift: 1 }")
        + networks.dense("score", "power", 3)
    )
    network = networks.load(tmp_path, body)
    found = propagate(network, networks.batch_for(network, 2), 1, composite=Composite("e", by_type=EPSILON))
    signal, shift = network.activation("signal"), network.activation("shift")[:, :, None, None]
    z = signal + shift
    quotient = found["sum"] / (z + 0.1 * reference.sign(z))
    np.testing.assert_allclose(found["signal"], signal * quotient, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["shift"], (shift * quotient).sum(axis=(2, 3)), rtol=1e-4, atol=1e-5)
    assert found.ledger.largest_residual() < 1e-3


EPSILON = {"Convolution": epsilon(0.1), "InnerProduct": epsilon(0.1)}

CONSTANT = {
    "DummyData": "dummy_data_param { data_filler { value: 1.5 } shape { dim: 1 dim: 2 dim: 8 dim: 8 } }",
    "Parameter": "parameter_param { shape { dim: 1 dim: 2 dim: 8 dim: 8 } }",
}


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("kind", CONSTANT)
def test_a_constant_beside_the_picture_takes_its_share(kind: str, composite: str, tmp_path: Path) -> None:
    """As a bias does: what it takes is booked, so that picture and ledger add up to the score."""
    body = (
        networks.layer("constant", kind, None, more=CONSTANT[kind])
        + networks.layer("both", "Concat", "data constant")
        + networks.convolution("low", "both", 4, 3)
        + networks.dense("score", "low", 3)
    )
    network = networks.load(tmp_path, body)
    for array in network.parameters(network.graph.node("constant")):
        array[...] = 1.5
    found = propagate(network, networks.batch_for(network, 1), 1, composite=composite, bounds=BOUNDS)
    share = found["constant"].sum()
    if composite == "epsilon-gamma-box":  # a constant is its own least and greatest value, and contributes nothing
        assert np.abs(found["constant"]).max() < 1e-6 * np.abs(found["low"]).max()
    else:
        assert share != 0
    assert found.ledger["constant"].bias == pytest.approx([share], rel=1e-4, abs=1e-6)
    absorbed = sum(entry.bias + entry.stabiliser for entry in found.ledger)
    carried = np.abs(found["both"]).sum() + np.abs(found["low"]).sum()
    assert abs(found["data"].sum() + absorbed - found.ledger.start) < 1e-5 * carried


UP = (
    "convolution_param { num_output: 3 group: 3 kernel_size: 4 stride: 2 bias_term: false "
    'weight_filler { type: "bilinear" } }'
)


@pytest.mark.parametrize("unit", [1, (1, 3, 4)])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_segmentation_is_explained_through_deconvolution_and_crop(
    composite: str, unit: int | tuple[int, ...], tmp_path: Path
) -> None:
    """A class at a place, or summed over all; what is cropped away gets nothing, the reference of the size neither."""
    body = (
        networks.convolution("low", "data", 4, 3, "pad: 4")
        + networks.relu("relu", "low")
        + networks.layer("pool", "Pooling", "low", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
        + networks.convolution("scores", "pool", 3, 1)
        + networks.layer("up", "Deconvolution", "scores", more=UP)
        + networks.layer("cropped", "Crop", "up data", more="crop_param { axis: 2 offset: 3 }")
        + networks.layer("prob", "Softmax", "cropped")
    )
    network = networks.load(tmp_path, body)
    found = propagate(network, networks.batch_for(network, 2), unit=unit, composite=composite, bounds=BOUNDS)
    np.testing.assert_array_equal(found["up"][:, :, 3:11, 3:11], found["cropped"])
    assert np.count_nonzero(found["up"]) == np.count_nonzero(found["cropped"])
    arrived = found["data"].reshape(2, -1).sum(axis=1, dtype=np.float64)
    absorbed = sum(entry.bias + entry.stabiliser for entry in found.ledger)
    carried = sum(np.abs(found[name]).reshape(2, -1).sum(axis=1) for name in ("up", "scores", "low"))
    assert (np.abs(arrived + absorbed - found.ledger.start) < 1e-5 * carried).all()


def test_a_type_or_pattern_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.low_and_high())
    for key in ("type:Pooling", "pool*"):
        with pytest.raises(RuleError):
            propagate(
                network, networks.batch_for(network, 1), composite=COMPOSITES["epsilon"].with_layers({key: "flat"})
            )
