"""What passes keep of changed weights: it stays small, and is not used when the weights have changed."""

from pathlib import Path

import numpy as np
import pytest

from rationale.lrp import COMPOSITES, propagate
from rationale.lrp.workspace import KEPT, Workspace
from tests import networks
from tests.lrp.test_backward import BOUNDS, NETWORKS


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("change", ["one number", "order", "signs", "all"])
def test_changed_weights_are_noticed(change: str, composite: str, tmp_path: Path) -> None:
    """A network that learned on, or whose weights are randomised, was explained with what it was before."""
    network, fresh = (networks.load(tmp_path, NETWORKS["branches"]) for _ in range(2))
    batch = networks.batch_for(network, 2)
    propagate(network, batch, 1, composite=composite, bounds=BOUNDS)
    for each in (network, fresh):
        for name in ("stem", "left", "right", "score"):
            weights = each.parameters(each.graph.node(name))[0]
            if change == "one number":
                weights.reshape(-1)[7] += 0.5
            elif change == "order":
                weights.reshape(-1)[:6] = weights.reshape(-1)[5::-1].copy()
            elif change == "signs":
                weights *= -1
            else:
                weights[...] = np.random.default_rng(0).normal(size=weights.shape)
    found, expected = (propagate(each, batch, 1, composite=composite, bounds=BOUNDS) for each in (network, fresh))
    np.testing.assert_array_equal(found["data"], expected["data"])


def test_a_sweep_over_gamma_keeps_few_weights(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["groups and LRN"])
    batch = networks.batch_for(network, 1)
    for gamma in np.linspace(0.01, 1, 40):
        propagate(network, batch, 1, composite=COMPOSITES["epsilon"].with_layers({"*": f"gamma({gamma})"}))
    kept = Workspace.of(network)._weights
    assert kept
    assert max(len(each) for each in kept.values()) <= KEPT


def test_kept_weights_give_what_new_ones_give(tmp_path: Path) -> None:
    """In whatever order rules come, also beyond what is kept."""
    texts = ["gamma(0.1)", "z+", "alpha-beta(2, 1)", "gamma(1)", "w2", "flat", "excitation", "gamma(0.1)", "box(-5, 6)"]
    network = networks.load(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(network, 2)
    for text in [*texts, *reversed(texts)]:
        rules = COMPOSITES["epsilon"].with_layers({"type:Convolution": text})
        fresh = networks.load(tmp_path, NETWORKS["branches"])
        np.testing.assert_array_equal(
            propagate(network, batch, 1, composite=rules)["data"], propagate(fresh, batch, 1, composite=rules)["data"]
        )


@pytest.mark.parametrize("size", [1, 2, 7, 4095, 4096, 4097, 100_003])
def test_a_fingerprint_sees_every_number(size: int, tmp_path: Path) -> None:
    kernels = Workspace.of(networks.load(tmp_path, networks.dense("score", "data", 2))).kernels
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)
    before = kernels.fingerprint(values)
    for place in {0, size // 3, size - 1}:
        changed = values.copy()
        changed[place] = np.nextafter(changed[place], np.float32(9))
        assert kernels.fingerprint(changed) != before
    if size > 2:
        assert kernels.fingerprint(np.roll(values, 1)) != before
