"""The elementwise arithmetic of rules, in blocks that stay in the processor's cache."""

import math
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

    `by_channel` are the sums of the quotients, (N, C); `stabiliser` what the stabiliser took, (N,), or without one what
    was lost to 0/0.
    """

    by_channel: Amounts
    stabiliser: Amounts


def divide(
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
        return _divide(relevance, denominator, sign, epsilon, share, out)
    parts = []
    for sample in range(len(relevance)):
        one = slice(sample, sample + 1)
        z = denominator if len(denominator) == 1 else denominator[one]
        size = epsilon * _root_mean_square(z, relevance[one]) if relative else epsilon
        parts.append(_divide(relevance[one], z, sign, size, share, out[one]))
    by_channel = np.concatenate([part.by_channel for part in parts])
    return Quotient(by_channel, np.concatenate([part.stabiliser for part in parts]))


def _divide(
    relevance: Array, denominator: Array, sign: int | None, epsilon: float, share: float, out: Array
) -> Quotient:
    samples, channels = relevance.shape[:2]
    above, below, quotients = _rows(relevance), _rows(denominator), _rows(out)
    sums = np.empty(len(above), np.float32)
    taken = np.zeros(len(above), np.float32)
    lost = np.zeros(len(above), np.float32)  # 0/0 without a stabiliser
    for rows in _blocks(above.shape):
        z = below[rows]
        if epsilon == 0:
            zero = z == 0
            lost[rows] = np.where(zero, above[rows], 0).sum(axis=1)
            np.divide(above[rows], z, out=quotients[rows], where=~zero)
            quotients[rows][zero] = 0
        else:
            shift = np.copysign(np.float32(epsilon), z) if sign is None else np.float32(sign * epsilon)
            np.divide(above[rows], z + shift, out=quotients[rows])
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


def _root_mean_square(z: Array, relevance: Array) -> float:
    """Of the denominators to which relevance arrives: the same with and without a ReLU in place."""
    met = np.broadcast_to(z, relevance.shape)[relevance != 0].astype(np.float64)
    return float(np.sqrt(np.mean(met**2))) if met.size else 1.0


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
    return values.reshape(math.prod(values.shape[:2]), -1)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    height = max(1, _BLOCK // max(shape[1], 1))
    for start in range(0, shape[0], height):
        yield slice(start, start + height)
