"""From a network that knows the next word to sentences: greedy, beam search, sampling."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

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


Allowed = Callable[[tuple[int, ...]], Collection[int]]  # from the words so far, which may follow, END among them


def beams(
    speaker: Speaker[State],
    state: State,
    allowed: Sequence[Allowed | None],
    length: int,
    *,
    width: int = 5,
    count: int = 1,
) -> list[list[Decoded]]:
    """The best sentences for each picture by mean log-probability of a word, the best first; all in step.

    Args:
        speaker: the network.
        state: of one sentence for each of N pictures.
        allowed: of each picture, which words may follow those so far; any where None.
        length: words at most; up to twice as many where `allowed` lets no sentence end before.
        width: sentences that are pursued at the same time.
        count: how many are wanted; at most `width` are found at each length.
    """
    searches = [_Search(each, length, width, count) for each in allowed]
    going = list(searches)
    for at in range(2 * length + 1):
        if not going:
            break
        last = np.array([words[-1] if words else START for search in going for words in search.words])
        logs, state = speaker.step(state, last)
        logs = without(logs, NEVER)
        rows: list[NDArray[np.int64]] = []
        before = 0
        for search in going:
            pursued = len(search.words)
            rows.append(before + search.advance(logs[before : before + pursued], at))
            before += pursued
        going = [search for search in going if search.words]
        state = speaker.chosen(state, np.concatenate(rows))
    return [search.best() for search in searches]


class _Search:
    """The search for one picture's sentences: those that are not ended, the most probable first, and those that are."""

    def __init__(self, allowed: Allowed | None, length: int, width: int, count: int) -> None:
        self._allowed, self._length, self._width, self._count = allowed, length, width, count
        self.words: list[tuple[int, ...]] = [()]
        self._totals = np.zeros(1)
        self._ended: list[Decoded] = []

    def advance(self, logs: NDArray[np.float64], at: int) -> NDArray[np.int64]:
        """Takes a step; which of the sentences each of those goes on with that are pursued now, if any is."""
        if self._allowed is not None:
            allowed = self._allowed
            logs = np.stack([_only(row, allowed(words)) for row, words in zip(logs, self.words, strict=True)])
        totals = self._totals[:, None] + logs
        self._ended += [
            Decoded(words, float(total))
            for words, total in zip(self.words, totals[:, END], strict=True)
            if np.isfinite(total)
        ]
        self._ended.sort(key=lambda each: -each.normalised)
        totals[:, END] = -np.inf
        best = np.argsort(-totals, axis=None, kind="stable")[: self._width]
        best = best[np.isfinite(totals.ravel()[best])]
        if (at >= self._length and self._ended) or self._is_settled(totals.ravel()[best]):
            best = best[:0]
        rows, words = np.unravel_index(best, totals.shape)
        self.words = [(*self.words[row], int(word)) for row, word in zip(rows, words, strict=True)]
        self._totals = totals.ravel()[best]
        return rows

    def _is_settled(self, totals: NDArray[np.float64]) -> bool:
        """Whether not even words that cost nothing could make up for what is lost."""
        enough = len(self._ended) >= self._count and len(totals) > 0
        return enough and bool(totals[0] / (self._length + 1) <= self._ended[self._count - 1].normalised)

    def best(self) -> list[Decoded]:
        """The best of those that ended."""
        return self._ended[: self._count]
