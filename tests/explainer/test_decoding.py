"""Decoding on a toy speaker whose probabilities are known: beam search must find what exhaustive search finds."""

import itertools

import numpy as np
import pytest

from rationale.explainer.decoding import Allowed, Decoded, beams, greedy, sample, without
from rationale.explainer.losses import log_probabilities
from rationale.explainer.vocabulary import END, PADDING, START, UNKNOWN

WORDS, LENGTH = 3, 4  # besides the special ones


class Table:
    """Next words depend on the last two, by a table; a state is the word before the last."""

    def __init__(self, seed: int) -> None:
        scores = np.random.default_rng(seed).normal(size=(4 + WORDS, 4 + WORDS, 4 + WORDS)) * 2
        self.logs = log_probabilities(scores.astype(np.float32))

    def step(self, state: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.logs[state, words], words

    def chosen(self, state: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return state[rows]


def log_probability(table: Table, words: tuple[int, ...]) -> float:
    total, before, last = 0.0, PADDING, START
    for word in (*words, END):
        total += without(table.logs[before, last][None], {PADDING, START, UNKNOWN})[0, word]
        before, last = last, word
    return float(total)


def beam(
    table: Table, start: np.ndarray, length: int, *, width: int, count: int = 1, allowed: Allowed | None = None
) -> list[Decoded]:
    (found,) = beams(table, start, [allowed], length, width=width, count=count)
    return found


def everything() -> list[tuple[int, ...]]:
    words = range(4, 4 + WORDS)
    return [each for length in range(LENGTH + 1) for each in itertools.product(words, repeat=length)]


@pytest.mark.parametrize("seed", range(5))
def test_beam_finds_what_exhaustive_search_finds(seed: int) -> None:
    table = Table(seed)
    all_ = sorted((Decoded(each, log_probability(table, each)) for each in everything()), key=lambda d: -d.normalised)
    found = beam(table, np.array([PADDING]), LENGTH, width=WORDS**LENGTH, count=5)
    assert [each.words for each in found] == [each.words for each in all_[:5]]
    assert [each.log_probability for each in found] == pytest.approx([each.log_probability for each in all_[:5]])


def test_a_narrow_beam_is_never_better_and_greedy_is_the_narrowest() -> None:
    for seed in range(5):
        table = Table(seed)
        start = np.array([PADDING])
        wide = beam(table, start, LENGTH, width=81)[0]
        narrow = beam(table, start, LENGTH, width=1)[0]
        assert narrow.normalised <= wide.normalised + 1e-12
        (best,) = greedy(table, start, 1, LENGTH)
        assert best.log_probability == pytest.approx(log_probability(table, best.words))


def test_only_allowed_words_are_said() -> None:
    found = beam(
        Table(1), np.array([PADDING]), LENGTH, width=9, count=3, allowed=lambda words: [5, END][: 1 + bool(words)]
    )
    assert found
    assert all(set(each.words) == {5} for each in found)


def test_pictures_in_step_get_what_each_gets_alone() -> None:
    """Though their searches end at different lengths."""
    table, starts = Table(3), np.array([PADDING, 5, PADDING, 6, 4])
    allowed: list[Allowed | None] = [
        None,
        lambda words: [5, END][: 1 + bool(words)],
        lambda words: [4, 5, 6] if len(words) < LENGTH else [END],
        None,
        lambda words: [6, END],
    ]
    together = beams(table, starts, allowed, LENGTH, width=6, count=3)
    alone = [beam(table, starts[[row]], LENGTH, width=6, count=3, allowed=each) for row, each in enumerate(allowed)]
    assert together == alone
    assert len({len(best.words) for best, *_ in together}) > 1


def test_samples_follow_the_probabilities_and_the_seed() -> None:
    table, count = Table(2), 4000
    start = np.full(count, PADDING)
    drawn = [each.words for each in sample(table, start, count, LENGTH, np.random.default_rng(1))]
    assert drawn == [each.words for each in sample(table, start, count, LENGTH, np.random.default_rng(1))]
    usual = max(everything(), key=lambda each: log_probability(table, each))
    share = np.exp(log_probability(table, usual))
    assert len(usual) < LENGTH
    assert np.mean([each == usual for each in drawn]) == pytest.approx(share, abs=4 * np.sqrt(share / count))
