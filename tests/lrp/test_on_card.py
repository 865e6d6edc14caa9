"""Relevance on a real card: the processor's to 1e-4. Skipped where there is none (docs/gpu.md)."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rationale.lrp import COMPOSITES, ClassScore, RelevanceAt, UnitActivation, propagate
from rationale.network import Network, device
from rationale.network.pycaffe import pycaffe
from tests import networks
from tests.lrp.test_backward import BOUNDS, NETWORKS
from tests.lrp.test_rules import RULES

pytestmark = pytest.mark.skipif(
    device.card_count() == 0, reason="there is no card, or this Caffe was built for the CPU"
)


def both(folder: Path, body: str, shape: tuple[int, ...] = (1, 3, 8, 8)) -> tuple[Network, Network]:
    """The same network on the processor and on the card."""
    path = folder / "network.prototxt"
    path.write_text(networks.definition(body, shape))
    pycaffe().set_random_seed(1)
    host = Network.load(path)
    weights = folder / "network.caffemodel"
    host.net.save(str(weights))
    return Network.load(path, weights, fold=False), Network.load(path, weights, fold=False, gpu=0)


def compare(host: Network, card: Network, batch: np.ndarray, *arguments: Any, **options: Any) -> None:
    expected = propagate(host, batch, *arguments, **options)
    for _ in range(2):  # the second time with what was kept
        found = propagate(card, batch, *arguments, **options)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4 * np.abs(values).max(), err_msg=name)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4)
        scale = np.abs(expected.ledger.start).max()
        assert found.ledger.largest_residual() < 1e-3
        for mine, other in zip(found.ledger, expected.ledger, strict=True):
            size = max(scale, np.abs(other.received).max())
            for part in ("received", "passed_on", "bias", "stabiliser"):
                np.testing.assert_allclose(getattr(mine, part), getattr(other, part), atol=1e-3 * size)


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", [name for name in NETWORKS if "BatchNorm" not in name])
def test_every_composite(name: str, composite: str, tmp_path: Path) -> None:
    host, card = both(tmp_path, NETWORKS[name])
    compare(host, card, networks.batch_for(host, 3), [0, 1, 2], composite=composite, bounds=BOUNDS)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule(rule: str, tmp_path: Path) -> None:
    host, card = both(tmp_path, NETWORKS["groups and LRN"], (1, 4, 8, 8))
    given = {"conv1" if rule == "box by channel" else "type:Convolution": RULES[rule][0]}
    compare(host, card, networks.batch_for(host, 2), 1, composite=COMPOSITES["epsilon"].with_layers(given))


def test_starts_and_conditions(tmp_path: Path) -> None:
    host, card = both(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(host, 2)
    compare(host, card, batch, 1, conditions=[{"left": 1}, {"both": [0, 2], "stem": 1}])
    seed = np.random.default_rng(3).normal(size=(2, *host.shape("left")[1:])).astype(np.float32)
    starts = [ClassScore([0, 1], against=2), UnitActivation(1, "left"), RelevanceAt("left", seed)]
    for mine, other in zip(propagate(card, batch, start=starts), propagate(host, batch, start=starts), strict=True):
        np.testing.assert_allclose(mine["data"], other["data"], atol=1e-4 * np.abs(other["data"]).max())


def test_forward_backward_and_changed_weights(tmp_path: Path) -> None:
    host, card = both(tmp_path, NETWORKS["branches"])
    for count in (3, 1):
        batch = networks.batch_for(host, count)
        np.testing.assert_allclose(card.forward(batch)["prob"], host.forward(batch)["prob"], atol=1e-5)
        for mine, other in zip(*(each.backward("score", unit=1).values() for each in (card, host)), strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-4 * np.abs(other).max())
    compare(host, card, batch, 1)
    for each in (host, card):
        each.parameters(each.graph.node("left"))[0][...] *= -1
    compare(host, card, batch, 1)
