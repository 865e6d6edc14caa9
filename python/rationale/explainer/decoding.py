"""From a network that knows the next word to sentences: greedy, beam search, sampling."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rationale.explainer.vocabulary import END, PADDING, START, UNKNOWN

State = TypeVar("State")
NEVER = frozenset({PADDING, START, UNKNOWN})  # words that no sentence holds


class Speaker(Protocol[State]):
    """Knows the next word of several sentences at once."""

    def step(self, state: State, words: NDArray[np.int64]) -> tuple[NDArray[np.float64], State]:
        """Log-probability of each next word, (N, V), and the state after the words (N,)."""
        ...

    def chosen(self, state: State, rows: NDArray[np.int64]) -> State:
        """The state of some of the sentences, in that order; a row may come several times."""
        ...


@dataclass(frozen=True)
class Decoded:
    """A sentence as word numbers without its end, and the log-probability that the network gives it with its end."""

    words: tuple[int, ...]
    log_probability: float

    @property
    def normalised(self) -> float:
        """Mean log-probability of a word, the end included."""
        return self.log_probability / (len(self.words) + 1)


def greedy(speaker: Speaker[State], state: State, count: int, length: int) -> list[Decoded]:
    """The most probable word at each step, for `count` sentences of at most `length` words."""
    return _one_by_one(speaker, state, count, length, None)


def sample(
    speaker: Speaker[State], state: State, count: int, length: int, random: np.random.Generator
) -> list[Decoded]:
    """Words drawn by their probability; the same for the same generator."""
    return _one_by_one(speaker, state, count, length, random)


def _one_by_one(
    speaker: Speaker[State], state: State, count: int, length: int, random: np.random.Generator | None
) -> list[Decoded]:
    words = np.full(count, START, np.int64)
    ended = np.zeros(count, bool)
    totals = np.zeros(count)
    found: list[list[int]] = [[] for _ in range(count)]
    for at in range(length + 1):
        logs, state = speaker.step(state, words)
        logs = without(logs, NEVER)
        if at == length:
            words = np.full(count, END, np.int64)
        elif random is None:
            words = logs.argmax(axis=1)
        else:
            words = (logs + random.gumbel(size=logs.shape)).argmax(axis=1)  # a draw from the softmax
        totals += np.where(ended, 0.0, logs[np.arange(count), words])
        ended |= words == END
        for row in np.flatnonzero(~ended):
            found[row].append(int(words[row]))
        if ended.all():
            break
        words = np.where(ended, END, words)
    return [Decoded(tuple(each), float(total)) for each, total in zip(found, totals, strict=True)]


def without(logs: NDArray[np.float64], forbidden: Collection[int]) -> NDArray[np.float64]:
    """Log-probabilities among the words that are left when some are forbidden."""
    left = logs.copy()
    left[:, list(forbidden)] = -np.inf
    top = left.max(axis=1, keepdims=True)
    return np.asarray(left - top - np.log(np.exp(left - top).sum(axis=1, keepdims=True)))


def _only(logs: NDArray[np.float64], allowed: Collection[int]) -> NDArray[np.float64]:
    """Log-probabilities of the allowed words, as they are; −∞ for the others."""
    found = np.full_like(logs, -np.inf)
    places = list(allowed)
    found[places] = logs[places]
    return found


@dataclass(frozen=True)
class _Open(Generic[State]):
    """Sentences that are not ended, most probable first, with the state after their last word."""

    words: list[tuple[int, ...]]
    totals: NDArray[np.float64]
    state: State


def beam(
    speaker: Speaker[State],
    state: State,
    length: int,
    *,
    width: int = 5,
    count: int = 1,
    allowed: Callable[[tuple[int, ...]], Collection[int]] | None = None,
) -> list[Decoded]:
    """The best sentences for one picture by mean log-probability of a word, the best first.

    Args:
        speaker: the network.
        state: of one sentence.
        length: words at most; up to twice as many where `allowed` lets no sentence end before.
        width: sentences that are pursued at the same time.
        count: how many are wanted; at most `width` are found at each length.
        allowed: given the words so far, the numbers of those that may follow, END among them; any where None.
    """
    pursued = _Open([()], np.zeros(1), state)
    ended: list[Decoded] = []
    for at in range(2 * length + 1):
        last = np.array([words[-1] if words else START for words in pursued.words])
        logs, state = speaker.step(pursued.state, last)
        logs = without(logs, NEVER)
        if allowed is not None:
            logs = np.stack([_only(row, allowed(words)) for row, words in zip(logs, pursued.words, strict=True)])
        totals = pursued.totals[:, None] + logs
        ended += [
            Decoded(words, float(total))
            for words, total in zip(pursued.words, totals[:, END], strict=True)
            if np.isfinite(total)
        ]
        if at >= length and ended:
            break
        totals[:, END] = -np.inf
        best = np.argsort(-totals, axis=None, kind="stable")[:width]
        best = best[np.isfinite(totals.ravel()[best])]
        if not best.size:
            break
        rows, words = np.unravel_index(best, totals.shape)
        pursued = _Open(
            [(*pursued.words[row], int(word)) for row, word in zip(rows, words, strict=True)],
            totals.ravel()[best],
            speaker.chosen(state, rows),
        )
        ended.sort(key=lambda each: -each.normalised)
        if len(ended) >= count and pursued.totals[0] / (length + 1) <= ended[count - 1].normalised:
            break  # not even words that cost nothing could make up for it
    ended.sort(key=lambda each: -each.normalised)
    return ended[:count]
