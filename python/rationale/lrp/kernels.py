"""The elementwise arithmetic of rules, in blocks that stay in the processor's cache."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Amounts = NDArray[np.float64]

_BLOCK = 1 << 16  # numbers


@dataclass(frozen=True)
class Quotient:
    """What dividing relevance gave, beside the quotients themselves.

    `by_channel` are the sums of the quotients, (N, C); `stabiliser` what the stabiliser took, (N,).
    """

    by_channel: Amounts
    stabiliser: Amounts


def divide(
    relevance: Array, denominator: Array, sign: int | None, epsilon: float, share: float, out: Array
) -> Quotient:
    """Writes share · R / (z + ε·sign(z)) to `out`, which may be `relevance` itself; 0/0 is 0.

    Args:
        relevance: (N, C, …).
        denominator: z, of the same shape, or (1, 1, …) where it is the same for all samples and channels.
        sign: +1 or −1 where all of z is known to have that sign or be zero; None where signs differ.
        epsilon: ε, at least 0.
        share: a factor.
        out: where the quotients go.
    """
    samples, channels = relevance.shape[:2]
    shared = denominator.shape[:2] == (1, 1) != (samples, channels)
    above, quotients = _rows(relevance), _rows(out)
    below = denominator.reshape(1, -1) if shared else _rows(denominator)
    sums = np.empty(len(above), np.float32)
    taken = np.zeros(len(above), np.float32)
    for rows in _blocks(above.shape):
        z = below if shared else below[rows]
        if epsilon == 0:
            shifted = z
            np.divide(above[rows], z, out=quotients[rows], where=z != 0)
            quotients[rows][np.broadcast_to(z == 0, above[rows].shape)] = 0
        else:
            shift = np.copysign(np.float32(epsilon), z) if sign is None else np.float32(sign * epsilon)
            shifted = z + shift
            np.divide(above[rows], shifted, out=quotients[rows])
        if share != 1:
            quotients[rows] *= np.float32(share)
        sums[rows] = quotients[rows].sum(axis=1)
        if sign is None and epsilon:
            taken[rows] = (quotients[rows] * shift).sum(axis=1)
    by_channel = sums.reshape(samples, channels).astype(np.float64)
    if sign is None:
        return Quotient(by_channel, taken.reshape(samples, channels).sum(axis=1, dtype=np.float64))
    return Quotient(by_channel, by_channel.sum(axis=1) * sign * epsilon)


def complement(whole: Array, part: Array, relevance: Array, out: Array) -> bool:
    """Writes whole − part to `out`, cut off at 0 from above; False where rounding would show in it.

    `part` ≥ 0 are the raising contributions, `out` ≤ 0 becomes the lowering ones. Where relevance flows and less than
    a fiftieth of `part` remains, the difference is not to be trusted.
    """
    exact = True
    for rows in _blocks(_rows(whole).shape):
        total, raising, lowering = _rows(whole)[rows], _rows(part)[rows], _rows(out)[rows]
        np.subtract(total, raising, out=lowering)
        np.minimum(lowering, 0, out=lowering)
        doubtful = lowering > np.float32(-0.02) * raising
        exact = exact and not np.any(doubtful & (_rows(relevance)[rows] != 0))
    return exact


def multiply(values: Array, factor: Array) -> Amounts:
    """Multiplies `values` by `factor` in place and returns the sum of each sample, (N,)."""
    sums = np.empty(len(_rows(values)), np.float32)
    for rows in _blocks(_rows(values).shape):
        block = _rows(values)[rows]
        np.multiply(block, _rows(factor)[rows], out=block)
        sums[rows] = block.sum(axis=1)
    return _by_sample(sums, values)


def add(values: Array, more: Array) -> None:
    """Adds `more` to `values` in place."""
    for rows in _blocks(_rows(values).shape):
        _rows(values)[rows] += _rows(more)[rows]


def total(values: Array) -> Amounts:
    """The sum of each sample, (N,)."""
    return _by_sample(_rows(values).sum(axis=1), values)


def _by_sample(sums: Array, values: Array) -> Amounts:
    return np.asarray(sums.reshape(len(values), -1).sum(axis=1, dtype=np.float64))


def _rows(values: Array) -> Array:
    """(N, C, H, W) as (N · C, H · W)."""
    return values.reshape(values.shape[0] * values.shape[1], -1)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    height = max(1, _BLOCK // max(shape[1], 1))
    for start in range(0, shape[0], height):
        yield slice(start, start + height)
