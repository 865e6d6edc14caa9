"""Each rule must equal its published formula, on every kind of layer that it applies to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rationale.errors import RuleError
from rationale.lrp import Composite, propagate
from rationale.lrp.rules import (
    Rule,
    alpha_beta,
    box,
    epsilon,
    excitation,
    flat,
    gamma,
    lrp_0,
    parse_rule,
    w_square,
    z_plus,
)
from rationale.network import Network
from tests import networks
from tests.lrp import reference

SHAPE = (1, 4, 7, 6)

RULES: dict[str, tuple[Rule, Callable]] = {
    "0": (lrp_0(), lambda layer, x, r: reference.epsilon(layer, x, r, 0.0)),
    "epsilon": (epsilon(), reference.epsilon),
    "large epsilon": (epsilon(0.5), lambda layer, x, r: reference.epsilon(layer, x, r, 0.5)),
    "z+": (z_plus(), reference.z_plus),
    "alpha2-beta1": (alpha_beta(2, 1), lambda layer, x, r: reference.alpha_beta(layer, x, r, 2, 1)),
    "alpha1-beta0": (alpha_beta(1, 0), lambda layer, x, r: reference.alpha_beta(layer, x, r, 1, 0)),
    "alpha3-beta2": (alpha_beta(3, 2), lambda layer, x, r: reference.alpha_beta(layer, x, r, 3, 2)),
    "gamma": (gamma(0.25), lambda layer, x, r: reference.gamma(layer, x, r, 0.25)),
    "large gamma": (gamma(3), lambda layer, x, r: reference.gamma(layer, x, r, 3)),
    "excitation": (excitation(), reference.excitation),
    "w2": (w_square(), reference.w_square),
    "flat": (flat(), reference.flat),
    "box": (box(-4, 4.5), lambda layer, x, r: reference.box(layer, x, r, np.array(-4.0), np.array(4.5))),
    "box by channel": (
        box((-4.0, -5.0, -4.5, -6.0), (4.0, 5.0, 6.0, 7.0)),
        lambda layer, x, r: reference.box(layer, x, r, np.repeat([-4, -5, -4.5, -6], 42), np.repeat([4, 5, 6, 7], 42)),
    ),
    "relative epsilon": (epsilon(0.1, relative=True), lambda layer, x, r: reference.relative_epsilon(layer, x, r, 0.1)),
    "epsilon, bias spread": (
        epsilon(0.1).spreading_bias(),
        lambda layer, x, r: reference.spread_epsilon(layer, x, r, 0.1),
    ),
}

GEOMETRIES = {
    "plain": {},
    "strided": {"stride": 2},
    "padded": {"pad": 2},
    "dilated": {"dilation": 2},
    "grouped": {"group": 2},
    "all": {"stride": 2, "pad": 1, "group": 2},
}


def composite(layer_rule: Rule) -> Composite:
    """`layer_rule` for convolutions and for the lowest layer, ε for the dense layer above."""
    return Composite("test", {"Convolution": layer_rule, "InnerProduct": epsilon()}, lowest=layer_rule)


def parameters(network: Network, name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Weights and bias, None where there is no bias."""
    weights, *bias = (array.copy() for array in network.parameters(network.graph.node(name)))
    return weights, bias[0] if bias else None


def with_one_sign(network: Network, name: str, sign: int) -> None:
    for array in network.parameters(network.graph.node(name)):
        array[...] = sign * np.abs(array)


def assert_follows(found: np.ndarray, formula: Callable, layer: reference.Matrix, x: np.ndarray, r: np.ndarray) -> None:
    """Equal to 1e-5 of the largest relevance, plus what single precision does to the formula itself.

    Where a denominator nearly cancels, rounding its weights to float32 already moves the exact result; that movement,
    measured on the formula alone, is allowed too.
    """
    expected = formula(layer, x, r)
    random = np.random.default_rng(0)
    rounding = 0.0
    for _ in range(5):
        noise = 1 + np.finfo(np.float32).eps * random.choice([-1, 1], layer.weights.shape)
        moved = formula(reference.Matrix(layer.weights * noise, layer.bias, layer.connected), x, r)
        rounding = max(rounding, float(np.abs(moved - expected).max()))
    np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-5 * np.abs(expected).max() + 5 * rounding)


@pytest.mark.parametrize("rectified", [False, True], ids=["signed", "rectified"])
@pytest.mark.parametrize("bias", ["true", "false"], ids=["bias", "no bias"])
@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("name", RULES)
def test_convolution(name: str, geometry: str, bias: str, rectified: bool, tmp_path: Path) -> None:
    """Two convolutions and a dense layer: the upper convolution's input is signed or, after a ReLU, not."""
    rule, formula = RULES[name]
    options = GEOMETRIES[geometry]
    text = " ".join(f"{key}: {value}" for key, value in options.items()) + f" bias_term: {bias}"
    body = networks.convolution("conv", "data", 4, 3, text)
    body += networks.relu("relu", "conv") if rectified else ""
    network = networks.load(tmp_path, body + networks.dense("score", "conv", 3), SHAPE)
    batch = networks.batch_for(network, 2, seed=len(name) + len(geometry))
    found = propagate(network, batch, target=[1, 2], composite=composite(rule))
    convolution = reference.convolution_matrix(*parameters(network, "conv"), SHAPE[1:], **options)
    dense = reference.dense_matrix(*parameters(network, "score"))
    for sample, target in enumerate((1, 2)):
        x = batch[sample].ravel().astype(np.float64)
        middle = convolution.weights @ x + convolution.bias
        middle = np.maximum(middle, 0) if rectified else middle
        scores = dense.weights @ middle + dense.bias
        assert abs(found.scores[sample] - scores[target]) < 1e-5 * np.abs(scores).max()
        start = np.where(np.arange(3) == target, scores, 0)
        above = found["conv"][sample].ravel().astype(np.float64)
        assert_follows(found["conv"][sample], reference.epsilon, dense, middle, start)
        assert_follows(found["data"][sample], formula, convolution, x, above)


@pytest.mark.parametrize(("stride", "pad"), [(1, 0), (2, 1)])
@pytest.mark.parametrize("name", RULES)
def test_deconvolution(name: str, stride: int, pad: int, tmp_path: Path) -> None:
    rule, formula = RULES[name]
    filler = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
    parameter = f"convolution_param {{ num_output: 3 kernel_size: 3 stride: {stride} pad: {pad} {filler} }}"
    body = networks.layer("up", "Deconvolution", "data", more=parameter) + networks.dense("score", "up", 2)
    network = networks.load(tmp_path, body, SHAPE)
    batch = networks.batch_for(network, 2)
    rules = Composite("test", {"Deconvolution": rule, "InnerProduct": epsilon()}, lowest=rule)
    found = propagate(network, batch, target=1, composite=rules)
    layer = reference.deconvolution_matrix(*parameters(network, "up"), SHAPE[1:], stride=stride, pad=pad)
    for sample in range(2):
        above = found["up"][sample].ravel().astype(np.float64)
        assert_follows(found["data"][sample], formula, layer, batch[sample].ravel().astype(np.float64), above)


@pytest.mark.parametrize("bias", ["true", "false"], ids=["bias", "no bias"])
@pytest.mark.parametrize("name", RULES)
def test_inner_product(name: str, bias: str, tmp_path: Path) -> None:
    rule, formula = RULES[name]
    network = networks.load(tmp_path, networks.dense("score", "data", 5, f"bias_term: {bias}"), SHAPE)
    batch = networks.batch_for(network, 3)
    found = propagate(network, batch, composite=composite(rule))
    layer = reference.dense_matrix(*parameters(network, "score"))
    for sample in range(3):
        x = batch[sample].ravel().astype(np.float64)
        scores = layer.weights @ x + layer.bias
        start = np.where(np.arange(5) == scores.argmax(), scores, 0)
        assert_follows(found["data"][sample], formula, layer, x, start)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", [name for name in RULES if name != "0"])
def test_layers_with_weights_of_one_sign_have_empty_denominators(name: str, sign: int, tmp_path: Path) -> None:
    """No lowering (or raising) contributions: 0/0 must be 0, not NaN and not an explosion."""
    rule, formula = RULES[name]
    network = networks.load(tmp_path, networks.dense("score", "data", 4), SHAPE)
    with_one_sign(network, "score", sign)
    batch = np.abs(networks.batch_for(network, 2))
    batch[1] = 0
    found = propagate(network, batch, target=2, composite=composite(rule))
    layer = reference.dense_matrix(*parameters(network, "score"))
    for sample in range(2):
        x = batch[sample].ravel().astype(np.float64)
        scores = layer.weights @ x + layer.bias
        expected = formula(layer, x, np.where(np.arange(4) == 2, scores, 0))
        np.testing.assert_allclose(
            found["data"][sample].ravel(), expected, atol=1e-5 * max(np.abs(expected).max(), 1e-6)
        )


def test_flat_reaches_units_that_are_off(tmp_path: Path) -> None:
    """Under `flat` a unit may get relevance though its ReLU is closed; the layer then needs its true output."""
    network = networks.load(tmp_path, networks.low_and_high(), SHAPE)
    batch = networks.batch_for(network, 1)
    rules = Composite("test", {"Convolution": flat(), "InnerProduct": epsilon()}, lowest=epsilon(0.1))
    found = propagate(network, batch, target=0, composite=rules)
    low = reference.convolution_matrix(*parameters(network, "low"), SHAPE[1:])
    x = batch[0].ravel().astype(np.float64)
    off = (low.weights @ x + low.bias) < 0
    assert np.abs(found["low"].ravel()[off]).max() > 0
    above = found["low"].ravel().astype(np.float64)
    assert_follows(found["data"][0], lambda layer, x, r: reference.epsilon(layer, x, r, 0.1), low, x, above)


def test_alpha_beta_refuses_what_would_not_conserve() -> None:
    with pytest.raises(RuleError, match="alpha − beta must be 1"):
        alpha_beta(2, 2)


@pytest.mark.parametrize("name", ["epsilon(0.1)", "z+", "alpha-beta(2, 1)", "gamma(0.25)", "flat"])
def test_a_spread_bias_conserves_exactly(name: str, tmp_path: Path) -> None:
    body = (
        networks.convolution("conv", "data", 4, 3) + networks.relu("relu", "conv") + networks.dense("score", "conv", 3)
    )
    network = networks.load(tmp_path, body, SHAPE)
    rule = parse_rule(name).spreading_bias()
    rules = Composite("test", {"Convolution": rule, "InnerProduct": rule})
    found = propagate(network, networks.batch_for(network, 3), composite=rules)
    scale = np.abs(found["data"]).sum(axis=(1, 2, 3))
    assert (np.abs(found["data"].sum(axis=(1, 2, 3), dtype=float) - found.scores) < 1e-4 * scale).all()
    assert all(np.all(entry.bias == 0) and np.all(entry.stabiliser == 0) for entry in found.ledger)
    assert found.ledger.largest_residual() < 1e-3


def test_rules_are_parsed_from_text() -> None:
    assert parse_rule(" gamma(0.5) ") == gamma(0.5)
    assert parse_rule("alpha-beta(2, 1)") == alpha_beta(2, 1)
    assert parse_rule("alpha-beta(2)") == alpha_beta(2, 1)
    assert parse_rule("box(0, 1)") == box(0, 1)
    assert parse_rule("z+") == z_plus()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("magic", "no rule is written 'magic'"),
        ("gamma(1", "no rule is written"),
        ("gamma(x)", "do not fit"),
        ("flat(1)", "do not fit"),
        ("box(1)", "do not fit"),
        ("box(1, 0)", "the lower below the upper"),
        ("gamma(-1)", "at least 0"),
        ("alpha-beta(2, 2)", "must be 1"),
    ],
)
def test_mistakes_in_rules_are_named(text: str, message: str) -> None:
    with pytest.raises(RuleError, match=message):
        parse_rule(text)
