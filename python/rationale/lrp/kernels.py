"""The arithmetic of relevance: all of it is here, and in `card` what a card does in another way.

On the processor it goes in blocks that stay in its cache.
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Amounts = NDArray[np.float64]

# For each place of a pool's window, (rows, columns) below and the (rows, columns) of the outputs whose window has it.
Windows = Sequence[tuple[tuple[slice, slice], tuple[slice, slice]]]

_BLOCK = 1 << 16  # numbers
_FOLD = 1 << 11  # words that a fingerprint adds up side by side
_STEP = 1021  # every so many words a fingerprint looks at in their place


@dataclass(frozen=True)
class Quotient:
    """What dividing relevance gave, beside the quotients themselves.

    `by_channel` are the sums of the quotients, (N, C); `stabiliser` what the stabiliser took, (N,), or without one what
    was lost to 0/0.
    """

    by_channel: Amounts
    stabiliser: Amounts


class Kernels:
    """Arithmetic on arrays (N, C, …) of the module `xp`.

    Attributes:
        looks: whether the pass may look at numbers on its way; on a card it would have to wait for each.
    """

    looks = True

    def __init__(self, xp: Any) -> None:
        self.xp = xp

    def begin(self) -> None:
        """A pass begins: amounts of those before are not wanted any more."""

    def settle(self, amounts: Iterable[Amounts], samples: int) -> list[Amounts]:
        """The amounts of so many samples as numbers in the host's memory."""
        return list(amounts)

    def nothing(self, samples: int) -> Amounts:
        """An amount of zero for each sample, (N,)."""
        return np.zeros(samples)

    # ---- shares ------------------------------------------------------------------------------------------------------

    def divide(
        self,
        relevance: Array,
        denominator: Array,
        sign: int | None,
        epsilon: float,
        share: float,
        out: Array,
        relative: bool = False,
    ) -> Quotient:
        """Writes share · R / (z + ε·sign(z)) to `out`, which may be `relevance` itself; 0/0 is 0.

        Args:
            relevance: (N, C, …).
            denominator: z, of the same shape, or (1, C, …) where it is the same for all samples.
            sign: +1 or −1 where all of z is known to have that sign or be zero; None where signs differ.
            epsilon: ε, at least 0.
            share: a factor.
            out: where the quotients go.
            relative: ε is meant as a share of the root mean square of each sample's z, where relevance arrives.
        """
        if len(relevance) == len(denominator) and not relative:
            return self._divide(relevance, denominator, sign, epsilon, share, out)
        parts = []
        for sample in range(len(relevance)):
            one = slice(sample, sample + 1)
            z = denominator if len(denominator) == 1 else denominator[one]
            size = epsilon * self.root_mean_square(z, relevance[one]) if relative else epsilon
            parts.append(self._divide(relevance[one], z, sign, size, share, out[one]))
        by_channel = self.xp.concatenate([part.by_channel for part in parts])
        return Quotient(by_channel, self.xp.concatenate([part.stabiliser for part in parts]))

    def _divide(
        self, relevance: Array, denominator: Array, sign: int | None, epsilon: float, share: float, out: Array
    ) -> Quotient:
        xp = self.xp
        samples, channels = relevance.shape[:2]
        above, below, quotients = _rows(relevance), _rows(denominator), _rows(out)
        sums = xp.empty(len(above), np.float32)
        taken = xp.zeros(len(above), np.float32)
        lost = xp.zeros(len(above), np.float32)  # 0/0 without a stabiliser
        for rows in _blocks(above.shape):
            z = below[rows]
            if epsilon == 0:
                zero = z == 0
                lost[rows] = xp.where(zero, above[rows], 0).sum(axis=1)
                xp.divide(above[rows], z, out=quotients[rows], where=~zero)
                quotients[rows][zero] = 0
            else:
                shift = xp.copysign(np.float32(epsilon), z) if sign is None else np.float32(sign * epsilon)
                xp.divide(above[rows], z + shift, out=quotients[rows])
            if share != 1:
                quotients[rows] *= np.float32(share)
            sums[rows] = quotients[rows].sum(axis=1)
            if sign is None and epsilon:
                taken[rows] = (quotients[rows] * shift).sum(axis=1)
        by_channel = sums.reshape(samples, channels).astype(np.float64)
        if epsilon == 0:
            return Quotient(by_channel, share * lost.reshape(samples, channels).sum(axis=1, dtype=np.float64))
        if sign is None:
            return Quotient(by_channel, taken.reshape(samples, channels).sum(axis=1, dtype=np.float64))
        return Quotient(by_channel, by_channel.sum(axis=1) * sign * epsilon)

    def root_mean_square(self, z: Array, relevance: Array) -> float:
        """Of the denominators to which relevance arrives: the same with and without a ReLU in place."""
        met = self.xp.broadcast_to(z, relevance.shape)[relevance != 0].astype(np.float64)
        return float(self.xp.sqrt(self.xp.mean(met**2))) if met.size else 1.0

    def weigh(self, sums: Amounts, weights: Array, sign: int) -> Amounts:
        """sign · Σ_c w_c s_c for sums by channel (N, C) and weights (C,)."""
        return np.asarray(sign * (sums @ weights.astype(np.float64)))

    def share_out(self, relevance: Array, counts: Array, out: Array) -> Amounts:
        """Writes R / counts to `out`, 0 where a count is 0, and returns what was lost there, (N,)."""
        xp = self.xp
        counts = xp.broadcast_to(counts, relevance.shape)
        lost = self.total(xp.where(counts == 0, relevance, np.float32(0)))
        out[...] = xp.where(counts == 0, np.float32(0), relevance / xp.where(counts == 0, np.float32(1), counts))
        return lost

    def add_rest(self, rest: Array, given: Array, share: float, quotients: Array, passed_on: Array) -> None:
        """Adds share · R − q · Σ_i x̃_i w̃_ij to `rest`: what biases and stabiliser would absorb of each output."""
        rest += np.float32(share) * given - quotients * passed_on

    # ---- choosing ----------------------------------------------------------------------------------------------------

    def choose(self, relevance: Array, plain: Array, positive: bool, out: Array) -> None:
        """Writes the relevance of outputs that are ≥ 0 (or < 0) to `out`, 0 elsewhere."""
        self.xp.multiply(relevance, plain >= 0 if positive else plain < 0, out=out)

    def complement(self, whole: Array, part: Array, relevance: Array, out: Array) -> bool:
        """Writes whole − part to `out`, cut off at 0 from above; False where rounding would show in it.

        `part` ≥ 0 are the raising contributions, `out` ≤ 0 becomes the lowering ones. Where relevance flows and less
        than a fiftieth of `part` remains, the difference is not to be trusted.
        """
        exact = True
        for rows in _blocks(_rows(whole).shape):
            total, raising, lowering = _rows(whole)[rows], _rows(part)[rows], _rows(out)[rows]
            self.xp.subtract(total, raising, out=lowering)
            self.xp.minimum(lowering, 0, out=lowering)
            doubtful = lowering > np.float32(-0.02) * raising
            exact = exact and not bool(self.xp.any(doubtful & (_rows(relevance)[rows] != 0)))
        return exact

    # ---- products and sums -------------------------------------------------------------------------------------------

    def multiply(self, values: Array, factor: Array, sign: int = 1) -> Amounts:
        """Multiplies `values` by sign · `factor` in place and returns the sum of each sample, (N,)."""
        if sign != 1:
            self.scale(values, sign)
        if factor.shape != values.shape:
            values *= factor
            return self.total(values)
        sums = self.xp.empty(len(_rows(values)), np.float32)
        for rows in _blocks(_rows(values).shape):
            block = _rows(values)[rows]
            self.xp.multiply(block, _rows(factor)[rows], out=block)
            sums[rows] = block.sum(axis=1)
        return _by_sample(sums, values)

    def scale(self, values: Array, factor: float) -> None:
        """Multiplies `values` by a number in place."""
        if factor != 1:
            values *= np.float32(factor)

    def times(self, values: Array, factor: float, out: Array) -> None:
        """Writes factor · values to `out`."""
        if factor == 1:
            out[...] = values
        else:
            self.xp.multiply(values, np.float32(factor), out=out)

    def weighted_sum(self, values: Sequence[Array], factors: NDArray[np.floating], out: Array) -> None:
        """Writes Σ_k factor_k · values_k to `out`."""
        self.times(values[0], float(factors[0]), out)
        for each, factor in zip(values[1:], factors[1:], strict=True):
            out += np.float32(factor) * each

    def add(self, values: Array, more: Array, sign: int = 1) -> None:
        """Adds sign · `more` to `values` in place."""
        for rows in _blocks(_rows(values).shape):
            if sign > 0:
                _rows(values)[rows] += _rows(more)[rows]
            else:
                _rows(values)[rows] -= _rows(more)[rows]

    def total(self, values: Array) -> Amounts:
        """The sum of each sample, (N,)."""
        return _by_sample(_rows(values).sum(axis=1), values)

    def meets_zero(self, relevance: Array, activation: Array) -> bool:
        """Whether relevance sits where the activation is zero, or may do so as far as is known."""
        return bool(self.xp.any((relevance != 0) & (activation == 0)))

    def sum_last(self, values: Array, out: Array) -> None:
        """Writes the sums over the last axis to `out`."""
        out[...] = values.sum(axis=-1)

    def total_of_product(self, values: Array, factor: Array) -> Amounts:
        """The sum of values · factor of each sample, (N,)."""
        return self.total(values * factor)

    # ---- windows -----------------------------------------------------------------------------------------------------

    def window_counts(self, places: Windows, shape: tuple[int, ...]) -> Array:
        """How many inputs each window holds, (1, 1, H, W)."""
        counts = self.xp.zeros((1, 1, *shape), np.float32)
        for _, (rows, columns) in places:
            counts[..., rows, columns] += 1
        return counts  # type: ignore[no-any-return]

    def add_windows(self, values: Array, places: Windows, out: Array) -> None:
        """Writes to each input the sum of `values` over the windows that hold it."""
        out.fill(0)
        for (rows, columns), (above_rows, above_columns) in places:
            out[..., rows, columns] += values[..., above_rows, above_columns]

    def keep_channels(self, values: Array, channels: NDArray[np.int64]) -> None:
        """Sets all channels but these to zero."""
        values[:, np.setdiff1d(np.arange(values.shape[1]), channels)] = 0

    # ---- noticing changes --------------------------------------------------------------------------------------------

    def fingerprint(self, values: Array) -> int:
        """A number that changes when the values do, or their order; reading them once is all that it costs."""
        numbers = values.reshape(-1)
        words = numbers.view(np.uint32 if numbers.size % 2 else np.uint64)
        whole = words.size // _FOLD * _FOLD
        folded = self.xp.add.reduce(words[:whole].reshape(-1, _FOLD), axis=0)
        digest = 0
        for part in (folded, words[whole:], words[::_STEP]):
            digest = zlib.crc32(part.tobytes(), digest)
        return digest


def _by_sample(sums: Array, values: Array) -> Amounts:
    return np.asarray(sums.reshape(len(values), -1).sum(axis=1, dtype=np.float64))


def _rows(values: Array) -> Array:
    """(N, C, H, W) as (N · C, H · W)."""
    return values.reshape(math.prod(values.shape[:2]), -1)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    height = max(1, _BLOCK // max(shape[1], 1))
    for start in range(0, shape[0], height):
        yield slice(start, start + height)
