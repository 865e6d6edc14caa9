"""Relevance on a card, without one: nothing comes to the host before the result, and the result is the processor's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rationale.errors import NetworkError, RuleError
from rationale.lrp import COMPOSITES, ClassScore, Relevance, RelevanceAt, UnitActivation, propagate
from rationale.lrp.card import CardKernels
from rationale.model import Model
from rationale.network import Network
from tests import card, networks
from tests.lrp.test_backward import BOUNDS, NETWORKS
from tests.lrp.test_rules import RULES

CONDITIONS: dict[str, list[dict[str, Any]]] = {
    "branches": [{"left": 1}, {"both": [0, 2], "stem": 1}],
    "residual with BatchNorm": [{"sum": [1, 3]}],
}


def same(found: Relevance, expected: Relevance) -> None:
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert isinstance(found[name], np.ndarray)
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], values, rtol=1e-6, atol=1e-6 * np.abs(values).max(), err_msg=name)
    np.testing.assert_array_equal(found.targets, expected.targets)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-6)
    np.testing.assert_array_equal(found.outputs, expected.outputs)
    scale = np.abs(expected.ledger.start).max()
    np.testing.assert_allclose(found.ledger.start, expected.ledger.start, rtol=1e-6)
    for mine, other in zip(found.ledger, expected.ledger, strict=True):
        assert (mine.layer, mine.type, mine.rule) == (other.layer, other.type, other.rule)
        for part in ("received", "passed_on", "bias", "stabiliser"):
            size = max(scale, np.abs(getattr(other, part)).max())
            np.testing.assert_allclose(getattr(mine, part), getattr(other, part), atol=2e-5 * size, err_msg=mine.layer)
    for mine, other in zip(found.conditional, expected.conditional, strict=True):
        for name, values in other.items():
            np.testing.assert_allclose(mine[name], values, rtol=1e-6, atol=1e-6 * np.abs(values).max())


def on_both(network: Network, batch: Any, *arguments: Any, **options: Any) -> card.CardStandIn:
    """Explains on the processor and on the stand-in, twice, and compares; the second time nothing may be copied."""
    expected = propagate(network, batch, *arguments, **options)
    views = card.stand_in(network)
    for _ in range(2):
        views.events.clear()
        same(propagate(network, batch, *arguments, **options), expected)
    assert "layer" in views.events
    assert "gather" in views.events
    assert card.copies_on_the_way(views.events) == 0
    return views


@pytest.mark.parametrize("composite", COMPOSITES)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_composite_gives_what_the_processor_gives(name: str, composite: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS[name])
    on_both(
        network,
        networks.batch_for(network, 2),
        [0, 2],
        composite=composite,
        bounds=BOUNDS,
        conditions=CONDITIONS.get(name, ()),
    )


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_what_the_processor_gives(rule: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["groups and LRN"], (1, 4, 8, 8))
    rules = COMPOSITES["epsilon"].with_layers({"type:Convolution": RULES[rule][0]})
    if rule == "box by channel":
        rules = COMPOSITES["epsilon"].with_layers({"conv1": RULES[rule][0]})
    on_both(network, networks.batch_for(network, 3), composite=rules)


@pytest.mark.parametrize("rule", ["flat", "epsilon(0.1)", "z+", "gamma(0.5)", "w2", "epsilon(0.01, spread-bias)"])
def test_pools_and_sums_by_rules(rule: str, tmp_path: Path) -> None:
    for number, name in enumerate(("overlapping pools", "joins")):
        (tmp_path / str(number)).mkdir()
        network = networks.load(tmp_path / str(number), NETWORKS[name])
        given = {"type:Pooling": rule} if number == 0 else {"sum": rule}
        on_both(network, networks.batch_for(network, 2), 1, composite=COMPOSITES["epsilon-plus"].with_layers(given))


def test_several_starts_and_one_forward_pass(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["residual with BatchNorm"])
    batch = networks.batch_for(network, 2)
    seed = np.random.default_rng(3).normal(size=(2, *network.shape("inner")[1:])).astype(np.float32)
    starts = [
        ClassScore(2),
        ClassScore(None),
        ClassScore([0, 1], against=2),
        UnitActivation(1, "inner"),
        UnitActivation((1, 2, 3), "inner"),
        RelevanceAt("inner", seed),
    ]
    expected = propagate(network, batch, start=starts, composite="epsilon-plus")
    views = card.stand_in(network)
    first = propagate(network, batch, start=starts, composite="epsilon-plus")
    assert card.copies_on_the_way(views.events) == 0
    views.events.clear()
    again = propagate(network, first[0].forward, start=starts, composite="epsilon-plus")
    assert card.copies_on_the_way(views.events) == 0
    for mine, other in [*zip(first, expected, strict=True), *zip(again, expected, strict=True)]:
        same(mine, other)
    propagate(network, batch[:1], 0)
    with pytest.raises(RuleError, match="has run on another batch"):
        propagate(network, first[0].forward, 1)


def test_words_and_constants(tmp_path: Path) -> None:
    """Embed, whose words are looked up, and a network with numbers of its own beside the picture."""
    body = (
        networks.layer(
            "words",
            "Embed",
            "data",
            more="embed_param { input_dim: 7 num_output: 4 bias_term: true weight_filler { type: 'gaussian' std: 1 } "
            "bias_filler { type: 'constant' value: 0.2 } }",
        )
        + networks.dense("hidden", "words", 5)
        + networks.relu("relu", "hidden")
        + networks.dense("score", "hidden", 3)
    )
    network = networks.load(tmp_path, body, (1, 6))
    words = np.random.default_rng(1).integers(0, 7, (2, 6)).astype(np.float32)
    on_both(network, words, 1, composite="epsilon")


def test_a_change_of_weights_is_noticed_without_a_look(tmp_path: Path) -> None:
    """The pass runs on what was kept, finds at its end that weights are others by now, and runs once more."""
    network, fresh = (networks.load(tmp_path, NETWORKS["branches"]) for _ in range(2))
    batch = networks.batch_for(network, 2)
    card.stand_in(network)
    propagate(network, batch, 1, composite="epsilon-gamma-box", bounds=BOUNDS)
    for each in (network, fresh):
        each.parameters(each.graph.node("left"))[0].reshape(-1)[2] += 0.5
    found, expected = (
        propagate(each, batch, 1, composite="epsilon-gamma-box", bounds=BOUNDS) for each in (network, fresh)
    )
    same(found, expected)


def test_a_fault_is_told_when_all_is_over(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    batch = networks.batch_for(network, 2)
    best = propagate(network, batch).targets
    card.stand_in(network)
    with pytest.raises(RuleError, match="contrasted with itself"):
        propagate(network, batch, against=int(best[0]))
    network.parameters(network.graph.node("score"))[1][0] = np.nan
    with pytest.raises(NetworkError, match="holds NaN or infinity"):
        propagate(network, batch, 1)


def test_a_batch_of_another_size(tmp_path: Path) -> None:
    network = networks.load(tmp_path, NETWORKS["branches"])
    batches = [networks.batch_for(network, count) for count in (3, 1, 2)]
    expected = [propagate(network, batch, 1) for batch in batches]
    card.stand_in(network)
    for batch, wanted in zip(batches, expected, strict=True):
        same(propagate(network, batch, 1), wanted)


# ---- the stand-in and the kernels themselves -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copy",
    [
        np.asarray,
        float,
        bool,
        list,
        lambda array: np.maximum(array, 0),
        lambda array: array + np.ones(1, np.float32),
        lambda array: np.zeros_like(array),
        lambda array: array.tobytes(),
    ],
)
def test_the_stand_in_refuses_silent_copies(copy: Any) -> None:
    with pytest.raises((card.HostCopyError, TypeError)):
        copy(card.StrictArray(np.ones(1, np.float32)))


@pytest.mark.parametrize("threads", [1, 4, 8])
def test_a_block_adds_up_with_any_number_of_threads(threads: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, 37)).astype(np.float32)
    factor = np.random.default_rng(1).normal(size=(3, 37)).astype(np.float32)
    sums, own = card.StrictArray(np.empty(3)), card.StrictArray(values.copy())
    card.run("total", 3, threads, own, sums, np.int64(37))
    np.testing.assert_allclose(sums.values, values.sum(axis=1, dtype=np.float64), rtol=1e-12)
    numbers = np.int64(37), np.int64(3), np.int64(37), np.int32(-1)
    card.run("multiply", 3, threads, own, card.StrictArray(factor), sums, *numbers)
    np.testing.assert_array_equal(own.values, -values * factor)
    np.testing.assert_allclose(sums.values, own.values.sum(axis=1, dtype=np.float64), rtol=1e-12)
    words = card.StrictArray(np.zeros(1, np.uint64))
    alone = card.StrictArray(np.zeros(1, np.uint64))
    table = card.StrictArray(np.array([values.ctypes.data], np.int64))
    size = card.StrictArray(np.array([values.size], np.int64))
    card.run("fingerprint", 5, threads, table, size, words, np.int64(5))
    card.run("fingerprint", 1, 1, table, size, alone, np.int64(1))
    assert words.values[0] == alone.values[0] != 0


@pytest.mark.parametrize("size", [1, 2, 7, 4097, 100_003])
def test_a_fingerprint_on_the_card_sees_every_number(size: int) -> None:
    kernels = CardKernels(card.CardStandIn())
    values = np.random.default_rng(0).normal(size=size).astype(np.float32)

    def fingerprint(array: np.ndarray) -> int:
        return int(kernels.fingerprints([card.StrictArray(array)]).values[0])

    before = fingerprint(values)
    for place in {0, size // 3, size - 1}:
        changed = values.copy()
        changed[place] = np.nextafter(changed[place], np.float32(9))
        assert fingerprint(changed) != before
    if size > 2:
        assert fingerprint(np.roll(values, 1)) != before


def test_settled_amounts_are_sums_of_their_parts() -> None:
    kernels = CardKernels(card.CardStandIn())
    values: Mapping[str, np.ndarray] = {
        name: np.random.default_rng(number).normal(size=(2, 3, 5)).astype(np.float32)
        for number, name in enumerate("ab")
    }
    a, b = (kernels.total(card.StrictArray(each)) for each in values.values())
    found = kernels.settle([a, a + b, 2 * b + a, kernels.nothing(2)], 2)
    sums = {name: each.reshape(2, -1).sum(axis=1, dtype=np.float64) for name, each in values.items()}
    wanted = [sums["a"], sums["a"] + sums["b"], 2 * sums["b"] + sums["a"], np.zeros(2)]
    np.testing.assert_allclose(found, wanted, rtol=1e-6)


@pytest.mark.parametrize(("name", "size"), [("mnist", (28, 28)), ("flight", (144, 288))])
def test_a_model_says_the_same_on_a_card(name: str, size: tuple[int, int]) -> None:
    """The whole way of a picture, with its sentence where there is one."""
    model = Model.load(name)
    picture = np.random.default_rng(0).integers(0, 256, size if name == "mnist" else (*size, 3)).astype(np.uint8)
    expected = model.explain(picture)
    card.stand_in(model.network)
    found = model.explain(picture)
    assert (found.label, found.sentences) == (expected.label, expected.sentences)
    assert found.probability == pytest.approx(expected.probability, rel=1e-6)
    scale = np.abs(expected.heatmap).max()
    np.testing.assert_allclose(found.heatmap, expected.heatmap, atol=1e-5 * scale)
