"""Which pictures stand for a unit, and what its values over all pictures say of it. Arrays in, arrays out."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Rows = NDArray[np.int32]

BINS = 32
PARTNERS = 5
NONE = -1  # where there are fewer pictures than were asked for


@dataclass(frozen=True, eq=False)
class Statistics:
    """What a layer's values over all pictures say of each unit.

    Attributes:
        least, greatest, mean: of the unit's value, (C,).
        fires: share of the pictures whose value is above the least one, (C,).
        dead: units whose value is the same for every picture, (C,).
        histogram: pictures in BINS equal steps from `least` to `greatest`, (C, BINS).
        partners: the units of the layer whose values go up and down with it most, (C, PARTNERS), NONE for none.
        correlation: Pearson's r with each of them, (C, PARTNERS).
    """

    least: Array
    greatest: Array
    mean: Array
    fires: Array
    dead: NDArray[np.bool_]
    histogram: NDArray[np.int64]
    partners: Rows
    correlation: Array


def statistics(values: Array) -> Statistics:
    """Of one value for each picture and unit, (N, C)."""
    least, greatest = values.min(axis=0), values.max(axis=0)
    dead = greatest == least
    width = np.where(dead, 1, greatest - least)
    steps = np.minimum(((values - least) / width * BINS).astype(np.int64), BINS - 1)
    units = values.shape[1]
    flat = (steps + np.arange(units) * BINS).ravel()
    partners, correlation = _partners(values, dead)
    return Statistics(
        least=least,
        greatest=greatest,
        mean=values.mean(axis=0, dtype=np.float64).astype(np.float32),
        fires=(values > least).mean(axis=0).astype(np.float32),
        dead=dead,
        histogram=np.bincount(flat, minlength=units * BINS).reshape(units, BINS),
        partners=partners,
        correlation=correlation,
    )


def correlations(values: Array) -> Array:
    """Pearson's r between the units' values over the pictures, (N, C) → (C, C); 0 with a dead unit."""
    centred = values - values.mean(axis=0, dtype=np.float64)
    lengths = np.sqrt((centred**2).sum(axis=0))
    normed = (centred / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return np.asarray(np.clip(normed.T @ normed, -1, 1))


def _partners(values: Array, dead: NDArray[np.bool_]) -> tuple[Rows, Array]:
    found = correlations(values)
    np.fill_diagonal(found, 0)
    count = min(PARTNERS, len(found))
    order = np.argsort(-np.abs(found), axis=1, kind="stable")[:, :count]
    strength = np.take_along_axis(found, order, axis=1)
    partners = np.where(strength == 0, NONE, order)
    missing = ((0, 0), (0, PARTNERS - count))
    return (
        np.pad(partners, missing, constant_values=NONE).astype(np.int32),
        np.pad(strength, missing).astype(np.float32),
    )


def highest(values: Array, count: int) -> Rows:
    """Pictures with the highest values of each unit that are above its least, the highest first: (C, count)."""
    order = _first(-values, count)
    reached = np.take_along_axis(values, order, axis=0) > values.min(axis=0)
    return _padded(np.where(reached, order, NONE).T, count)


def lowest(values: Array, count: int) -> Rows:
    """Pictures with the lowest values of each unit, the lowest first: (C, count)."""
    return _padded(_first(values, count).T, count)


def spread(values: Array, count: int) -> Rows:
    """Pictures at equal steps of the ranks of those that excite a unit at all, the weakest first: (C, count).

    They show what excites the unit to different extents; where nothing ever does, there are none.
    """
    order = np.argsort(values, axis=0, kind="stable")
    silent = (values <= values.min(axis=0)).sum(axis=0)
    exciting = len(values) - silent
    steps = (np.arange(count) + 0.5) / count
    ranks = silent[:, None] + np.floor(steps * exciting[:, None]).astype(np.int64)
    found = np.take_along_axis(order.T, np.minimum(ranks, len(values) - 1), axis=1)
    again = np.concatenate([np.zeros((len(found), 1), bool), np.diff(found, axis=1) == 0], axis=1)
    return np.where((exciting[:, None] > 0) & ~again, found, NONE).astype(np.int32)


def without_twins(candidates: Rows, groups_of: Callable[[Rows], NDArray[np.int64]], count: int) -> Rows:
    """The first `count` candidates of each unit of which no two are near-duplicates.

    Args:
        candidates: pictures of each unit, the best first, (C, n).
        groups_of: gives each of some pictures a number, which near-duplicates share.
        count: wanted of each.
    """
    found = np.full((len(candidates), count), NONE, np.int32)
    for unit, rows in enumerate(candidates):
        kept = rows[rows != NONE]
        if len(kept):
            _, first = np.unique(groups_of(kept), return_index=True)
            chosen = kept[np.sort(first)][:count]
            found[unit, : len(chosen)] = chosen
    return found


def stretches_without_twins(candidates: Rows, groups_of: Callable[[Rows], NDArray[np.int64]], count: int) -> Rows:
    """One candidate of each of `count` equal stretches of each unit's, nearest to its middle, no two near-duplicates.

    Args:
        candidates: pictures of each unit from weak to strong, (C, n), n a multiple of `count`.
        groups_of, count: as in `without_twins`.
    """
    each = candidates.shape[1] // count
    outwards = np.argsort(np.abs(np.arange(each) - (each - 1) / 2), kind="stable")
    found = np.full((len(candidates), count), NONE, np.int32)
    for unit, rows in enumerate(candidates):
        groups = np.full(len(rows), NONE, np.int64)
        if (known := rows != NONE).any():
            groups[known] = groups_of(rows[known])
        taken = {NONE}
        for place in range(count):
            own = place * each + outwards
            fresh = [at for at in own if int(groups[at]) not in taken]
            if fresh:
                found[unit, place] = rows[fresh[0]]
                taken.add(int(groups[fresh[0]]))
    return found


def _first(keys: Array, count: int) -> NDArray[np.int64]:
    """The rows with the least keys of each column, in order, ties by row: (min(count, N), C)."""
    if len(keys) > 20 * count:  # a full sort of all pictures would cost more than the forward passes
        edge = np.partition(keys, count - 1, axis=0)[count - 1]
        found = np.empty((count, keys.shape[1]), np.int64)
        for unit in range(keys.shape[1]):
            column = keys[:, unit]
            below = np.flatnonzero(column < edge[unit])
            ties = np.flatnonzero(column == edge[unit])[: count - len(below)]
            rows = np.concatenate([below, ties])
            found[:, unit] = rows[np.argsort(column[rows], kind="stable")]
        return found
    return np.asarray(np.argsort(keys, axis=0, kind="stable")[:count])


def _padded(rows: NDArray[np.int64], count: int) -> Rows:
    return np.pad(rows, ((0, 0), (0, count - rows.shape[1])), constant_values=NONE).astype(np.int32)
