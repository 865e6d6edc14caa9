"""Beside "why this class": why not that one, what a unit saw, and what went through which channels."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import RuleError
from rationale.lrp import COMPOSITES, propagate
from rationale.model import Model
from tests import networks
from tests.lrp.test_backward import BOUNDS, NETWORKS

LINEAR_IN_RELEVANCE = [name for name in COMPOSITES if name != "excitation-backprop"]


@pytest.mark.parametrize("composite", LINEAR_IN_RELEVANCE)
def test_contrast_is_the_difference_of_two_explanations(composite: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["residual with BatchNorm"])
    batch = networks.batch_for(network, 3)
    options = {"composite": composite, "bounds": BOUNDS}
    one = propagate(network, batch, [0, 1, 2], **options)
    other = propagate(network, batch, [2, 2, 1], **options)
    both = propagate(network, batch, [0, 1, 2], against=[2, 2, 1], **options)
    np.testing.assert_allclose(both.scores, one.scores - other.scores, rtol=1e-4, atol=1e-6)
    scale = max(np.abs(one["data"]).max(), np.abs(other["data"]).max())
    np.testing.assert_allclose(both["data"], one["data"] - other["data"], atol=2e-5 * scale)


@pytest.mark.parametrize("composite", LINEAR_IN_RELEVANCE)
@pytest.mark.parametrize("layer", ["left", "both", "stem"])
def test_conditions_on_all_channels_add_up_to_the_whole(layer: str, composite: str, tmp_path: Path) -> None:
    """All relevance of this network passes through `stem` and `both`; part of it through `left`."""
    network = networks.load(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(network, 2)
    count = network.shape(layer)[1]
    conditions = [{layer: channel} for channel in range(count)]
    found = propagate(network, batch, 1, composite=composite, bounds=BOUNDS, conditions=conditions)
    together = propagate(network, batch, 1, composite=composite, bounds=BOUNDS, conditions=[{layer: range(count)}])
    parts = sum(each["data"] for each in found.conditional)
    scale = max(np.abs(each["data"]).max() for each in found.conditional)
    np.testing.assert_allclose(parts, together.conditional[0]["data"], atol=2e-5 * scale)
    if layer != "left":
        np.testing.assert_allclose(parts, found["data"], atol=2e-5 * scale)
    else:
        assert np.abs(parts - found["data"]).max() > 1e-3 * scale


def test_conditions_under_a_rule_that_reaches_units_that_are_off(tmp_path: Path) -> None:
    """Relevance may sit on closed units there, whose true output the layer below must use."""
    network = networks.load(tmp_path, networks.low_and_high())
    rules = COMPOSITES["epsilon"].with_layers({"high": "flat", "low": "epsilon(0.1)"})
    conditions = [{"low": channel} for channel in range(4)]
    found = propagate(network, networks.batch_for(network, 2), 0, composite=rules, conditions=conditions)
    parts = sum(each["data"] for each in found.conditional)
    np.testing.assert_allclose(parts, found["data"], atol=2e-5 * np.abs(found["data"]).max())


def test_conditions_on_two_layers_are_both_asked_for(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["groups and LRN"])
    batch = networks.batch_for(network, 2)
    pairs = [{"conv2": high, "conv1": low} for high in range(6) for low in range(4)]
    found = propagate(network, batch, 0, composite="epsilon", conditions=pairs)
    scale = np.abs(found["data"]).max()
    np.testing.assert_allclose(sum(each["data"] for each in found.conditional), found["data"], atol=5e-5 * scale)
    # conv2 has two groups: its first channels never read conv1's last ones.
    for pair, each in zip(pairs, found.conditional, strict=True):
        if (pair["conv2"] < 3) != (pair["conv1"] < 2):
            assert not each["data"].any()


def test_many_conditions_on_real_digits_in_one_call(mnist_model: Model, digits: np.ndarray) -> None:
    batch = mnist_model.preprocess(list(digits[:4]))
    conditions = [{"conv2": channel} for channel in range(50)]
    found = propagate(mnist_model.network, batch, composite="epsilon", conditions=conditions)
    together = sum(each["data"] for each in found.conditional)
    np.testing.assert_allclose(together, found["data"], atol=1e-4 * np.abs(found["data"]).max())
    # A channel without relevance has an empty map.
    silent = np.abs(found.channels("conv2")) == 0
    for channel, sample in zip(*np.nonzero(silent.T), strict=True):
        assert not found.conditional[channel]["data"][sample].any()


def test_units_add_up_to_their_layer(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["groups and LRN"])
    batch = networks.batch_for(network, 2)
    options = {"composite": "epsilon", "target_layer": "conv2"}
    whole = propagate(network, batch, unit=2, **options)
    height, width = network.shape("conv2")[2:]
    assert whole.scores == pytest.approx(network.activation("conv2")[:, 2].sum(axis=(1, 2)), rel=1e-5)
    places = [propagate(network, batch, unit=(2, y, x), **options)["data"] for y, x in np.ndindex(height, width)]
    np.testing.assert_allclose(sum(places), whole["data"], atol=2e-5 * np.abs(whole["data"]).max())
    assert "score" not in whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 1, "against": 1}, "with itself"),
        ({"against": 9}, "against \\[9\\] is out of range"),
        ({"target": 1, "unit": 0}, "either a unit or a class"),
        ({"unit": 7, "target_layer": "left"}, "has no unit 7"),
        ({"unit": (0, 8, 0), "target_layer": "left"}, "has no unit"),
        ({"conditions": [{"nothing": 1}]}, "does not reach"),
        ({"conditions": [{"prob": 1}]}, "does not reach"),
        ({"conditions": [{"left": 3}]}, "which has 0 to 2"),
        ({"conditions": [{"left": []}]}, "which has 0 to 2"),
        ({"conditions": [{}]}, "names no layer"),
        ({"composite": COMPOSITES["epsilon"].with_layers({"conv9*": "flat"})}, "fits no layer that takes a rule"),
        ({"composite": "epsilon-gamma-box"}, "give `bounds`"),
        ({"composite": "epsilon-gamma-box", "bounds": ((0.0, 0.0), (1.0, 1.0))}, "bounds for 2 channels"),
    ],
)
def test_mistakes_are_named(arguments: dict, message: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    with pytest.raises(RuleError, match=message):
        propagate(network, networks.batch_for(network, 2), **arguments)


def test_own_rules_go_before_the_composites(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(network, 2)
    rules = COMPOSITES["epsilon-plus-flat"].with_layers({"le*": "gamma(0.5)", "type:InnerProduct": "epsilon(0.01)"})
    found = propagate(network, batch, composite=rules)
    used = {entry.layer: entry.rule for entry in found.ledger}
    assert used["left"] == "gamma(0.5)"
    assert used["right"] == "z+"
    assert used["score"] == "epsilon(0.01)"
    assert used["stem"] == "flat"
