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


def fingerprint(pixels: Pixels) -> NDArray[np.bool_]:
    """Difference hash of 16 × 16 bits: whether each place is brighter than its right neighbour, (256,)."""
    small = np.asarray(Image.fromarray(pixels).convert("L").resize((17, 16), Image.Resampling.BOX), np.int16)
    return np.asarray((small[:, 1:] > small[:, :-1]).ravel())


def near_duplicates(fingerprints: Iterable[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Group number of each picture, (N,); pictures in one group are near-duplicates, or linked by some."""
    bits = np.array(list(fingerprints), np.float32)
    distance = (bits @ (1 - bits).T + (1 - bits) @ bits.T) / bits.shape[1]
    one, other = np.nonzero(distance <= NEAR)
    links = coo_array((np.ones(len(one), bool), (one, other)), shape=distance.shape)
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
