"""Does a sentence speak of what the heatmap shows?"""

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray


def part_densities(heatmap: NDArray[np.floating], regions: Mapping[str, NDArray[np.bool_]]) -> dict[str, float]:
    """How much denser positive relevance is on each part than over the whole picture; 1 is chance.

    Args:
        heatmap: (H, W).
        regions: bool (H, W) by name; those without a pixel are left out.
    """
    positive = np.maximum(heatmap, 0).astype(np.float64)
    whole = positive.mean() or 1.0
    return {part: float(positive[mask].mean() / whole) for part, mask in regions.items() if mask.any()}


def consistency(densities: Mapping[str, float], named: Collection[str]) -> float | None:
    """Probability that a part which the sentence names carries denser relevance than one which it does not name.

    The area under the ROC curve (Mann–Whitney U over the product of both counts): 1 where every named part is above
    every other, 0.5 is chance, ties count half.

    Args:
        densities: share of the positive relevance over share of the area, for each part that is seen.
        named: parts that the sentence names; those that are not seen do not count.

    Returns:
        None where no seen part is named, or every one.

    Example:
        >>> consistency({"windows": 5.9, "wing": 2.9, "tail": 0.7}, ["windows"])
        1.0
    """
    above = np.array([density for part, density in densities.items() if part in named])
    below = np.array([density for part, density in densities.items() if part not in named])
    if not above.size or not below.size:
        return None
    wins = (above[:, None] > below[None]).sum() + 0.5 * (above[:, None] == below[None]).sum()
    return float(wins / (above.size * below.size))
