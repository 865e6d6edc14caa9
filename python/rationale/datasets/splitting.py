"""Divides pictures into train, val and test: every class in the same shares, near-duplicates on one side."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from rationale.datasets.dataset import Pixels

SHARES = {"train": 0.65, "val": 0.1, "test": 0.25}
NEAR = 0.16  # share of the fingerprint's bits that near-duplicates may differ in
_BLOCK = 1024  # pictures compared with all others at once


def fingerprint(pixels: Pixels) -> NDArray[np.bool_]:
    """Difference hash of 16 × 16 bits: whether each place is brighter than its right neighbour, (256,)."""
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((17, 16), Image.Resampling.BOX), np.int16)
    return np.asarray((small[:, 1:] > small[:, :-1]).ravel())


def near_duplicates(
    fingerprints: Iterable[NDArray[np.bool_]],
    labels: NDArray[np.int64] | None = None,
    *,
    of_set: float = 0.35,
) -> NDArray[np.int64]:
    """Group number of each picture, (N,); pictures in one group are near-duplicates, or linked by some.

    Args:
        fingerprints: (256,) of each picture.
        labels: class numbers, (N,); pictures of different classes are then never linked.
        of_set: share of the bits set in either that may differ. Drawings and things on plain ground have few bits set,
            and would all be alike if only NEAR counted.
    """
    bits = np.array(list(fingerprints), np.float32)
    counts = bits.sum(axis=1)
    pairs = []
    for start in range(0, len(bits), _BLOCK):
        rows = slice(start, start + _BLOCK)
        both = bits[rows] @ bits.T
        either = counts[rows, None] + counts - both
        differ = either - both
        near = (differ <= NEAR * bits.shape[1]) & (differ <= of_set * either)
        if labels is not None:
            near &= labels[rows, None] == labels
        pairs.append(np.argwhere(near) + np.array([start, 0]))
    one, other = np.concatenate(pairs).T
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=(len(bits), len(bits)))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def stratified_split(
    labels: NDArray[np.int64], groups: NDArray[np.int64], shares: Mapping[str, float] | None = None, seed: int = 0
) -> list[str]:
    """Name of the split of each picture: groups stay together, classes come in about the same shares everywhere.

    Args:
        labels: class numbers, (N,).
        groups: pictures with the same number go to the same split, (N,).
        shares: of each split; SHARES where None.
        seed: of the order in which groups are dealt out.
    """
    wanted = shares or SHARES
    numbers = np.unique(groups)
    order = np.random.default_rng(seed).permutation(len(numbers))
    missing = {
        name: {int(label): share * np.sum(labels == label) for label in np.unique(labels)}
        for name, share in wanted.items()
    }
    found = np.empty(len(labels), dtype=object)
    for group in numbers[order]:
        members = np.flatnonzero(groups == group)
        label = int(labels[members[0]])
        name = max(wanted, key=lambda each: missing[each][label] / wanted[each])
        found[members] = name
        for member in members:
            missing[name][int(labels[member])] -= 1
    return [str(name) for name in found]
