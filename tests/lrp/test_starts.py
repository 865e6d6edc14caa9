"""Relevance may start anywhere, as often as one likes after one forward pass, but not after another one."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import RuleError
from rationale.lrp import COMPOSITES, ClassScore, RelevanceAt, UnitActivation, propagate
from rationale.model import Model
from rationale.network import Network
from tests import networks
from tests.lrp.test_backward import BOUNDS, NETWORKS


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return networks.load(tmp_path, NETWORKS["residual with BatchNorm"])


@pytest.mark.parametrize("composite", COMPOSITES)
def test_a_walk_goes_on_from_its_own_relevance(composite: str, network: Network) -> None:
    """What a pass has at a layer, given as a start there, comes down to the same pixels."""
    batch = networks.batch_for(network, 3)
    whole = propagate(network, batch, 1, composite=composite, bounds=BOUNDS)
    again = propagate(
        network, whole.forward, start=RelevanceAt("sum", whole["sum"]), composite=composite, bounds=BOUNDS
    )
    np.testing.assert_allclose(again["data"], whole["data"], atol=1e-6 * np.abs(whole["data"]).max())
    np.testing.assert_allclose(again.scores, whole["sum"].reshape(3, -1).sum(axis=1), rtol=1e-5)
    assert "score" not in again
    assert (again.targets == -1).all()


def test_several_starts_are_what_each_alone_is(network: Network) -> None:
    batch = networks.batch_for(network, 2)
    starts = [
        ClassScore(2),
        ClassScore([0, 1], against=2),
        UnitActivation(1, "inner"),
        UnitActivation((1, 2, 3), "inner"),
        RelevanceAt("stem", lambda activation: activation**2),
    ]
    together = propagate(network, batch, start=starts, composite="epsilon-plus")
    alone = [propagate(network, batch, start=start, composite="epsilon-plus") for start in starts]
    words = [
        propagate(network, batch, 2, composite="epsilon-plus"),
        propagate(network, batch, [0, 1], against=2, composite="epsilon-plus"),
        propagate(network, batch, unit=1, target_layer="inner", composite="epsilon-plus"),
        propagate(network, batch, unit=(1, 2, 3), target_layer="inner", composite="epsilon-plus"),
    ]
    for one, other in [*zip(together, alone, strict=True), *zip(together, words, strict=False)]:
        np.testing.assert_array_equal(one["data"], other["data"])
        np.testing.assert_array_equal(one.scores, other.scores)


def test_one_forward_pass_serves_them_all(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = networks.batch_for(network, 2)
    runs: list[object] = []
    run = Network.run
    monkeypatch.setattr(Network, "run", lambda self, given: runs.append(1) or run(self, given))
    first, _ = propagate(network, batch, start=[ClassScore(0), ClassScore(1)])
    propagate(network, first.forward, start=RelevanceAt("sum", first["sum"]))
    assert len(runs) == 1


def test_a_given_start_is_linear(network: Network) -> None:
    """Word heatmaps are sums over channels: the walk of a sum is the sum of the walks."""
    batch = networks.batch_for(network, 2)
    seeds = np.random.default_rng(1).normal(size=(2, 2, *network.shape("sum")[1:])).astype(np.float32)
    starts = [RelevanceAt("sum", seed) for seed in (*seeds, seeds[0] - 3 * seeds[1])]
    one, two, both = propagate(network, batch, start=starts, composite="epsilon-alpha2-beta1")
    scale = np.abs(both["data"]).max()
    np.testing.assert_allclose(both["data"], one["data"] - 3 * two["data"], atol=5e-5 * scale)


def test_a_dense_start_does_not_explode_on_closed_units(tmp_path: Path) -> None:
    """Under a ReLU in place the stored zeros would divide it: its layer's own output must."""
    shift = networks.layer("power", "Power", "low", more="power_param { shift: 0 }")
    in_place = networks.load(tmp_path, networks.convolution("low", "data", 4, 3) + networks.relu("relu", "low") + shift)
    apart = networks.load(
        tmp_path,
        networks.convolution("below", "data", 4, 3)
        + networks.layer("low", "ReLU", "below")
        + networks.layer("power", "Power", "low"),
    )
    batch = networks.batch_for(in_place, 2)
    start = RelevanceAt("power", np.ones((1, 4, 6, 6), np.float32))
    one, other = (propagate(network, batch, start=start, composite="epsilon") for network in (in_place, apart))
    np.testing.assert_allclose(one["data"], other["data"], atol=1e-5 * np.abs(other["data"]).max())


def test_conditions_hold_for_given_starts(network: Network) -> None:
    batch = networks.batch_for(network, 2)
    start = RelevanceAt("sum", np.abs)
    found = propagate(network, batch, start=start, composite="epsilon", conditions=[{"stem": [0, 1, 2, 3]}])
    np.testing.assert_allclose(found.conditional[0]["data"], found["data"], atol=1e-5 * np.abs(found["data"]).max())


@pytest.mark.parametrize("change", ["batch", "size", "weights"])
def test_a_forward_pass_that_is_gone_is_refused(change: str, network: Network) -> None:
    batch = networks.batch_for(network, 2)
    found = propagate(network, batch, 1)
    if change == "weights":
        network.parameters(network.graph.node("score"))[1][0] += 1
    network.forward({"batch": batch + 1e-3, "size": batch[:1], "weights": batch}[change])
    with pytest.raises(RuleError, match="another batch since"):
        propagate(network, found.forward, 1)
    propagate(network, propagate(network, batch, 1).forward, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": RelevanceAt("stem", np.ones((2, 4, 8, 7)))}, r"\(2, 4, 8, 7\) does not fit 'stem': \(2, 4, 8, 8\)"),
        ({"start": RelevanceAt("stem", lambda a: a[:, :1])}, "does not fit 'stem'"),
        ({"start": RelevanceAt("stem", lambda a: a * np.nan)}, "finite"),
        ({"start": ClassScore(9)}, "out of range"),
        ({"start": UnitActivation(9, "stem")}, "has no unit 9"),
        ({"start": ClassScore(1), "target": 1}, "not both"),
        ({"start": ClassScore(1), "target_layer": "score"}, "not both"),
        ({"start": []}, "or several of them"),
        ({"start": "stem"}, "or several of them"),
        ({"start": RelevanceAt("stem", np.ones((1, 4, 8, 8))), "keep": ["score"]}, "does not reach score"),
    ],
)
def test_mistakes_are_named(arguments: dict, message: str, network: Network) -> None:
    with pytest.raises(RuleError, match=message):
        propagate(network, networks.batch_for(network, 2), **arguments)


def test_words_to_pixels_on_real_digits(mnist_model: Model, digits: np.ndarray) -> None:
    """Shares of a class's relevance, split by channel at a layer, come down as parts of its heatmap."""
    network, batch = mnist_model.network, mnist_model.preprocess(list(digits[:4]))
    whole = propagate(network, batch, composite="epsilon")
    parts = np.zeros((2, *whole["conv2"].shape), np.float32)
    parts[0][:, :25], parts[1][:, 25:] = whole["conv2"][:, :25], whole["conv2"][:, 25:]
    starts = [RelevanceAt("conv2", part) for part in parts]
    found = propagate(network, whole.forward, start=starts, composite="epsilon")
    together = sum(each["data"] for each in found)
    np.testing.assert_allclose(together, whole["data"], atol=1e-5 * np.abs(whole["data"]).max())
