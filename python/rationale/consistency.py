"""Does a sentence speak of what the heatmap shows?"""

from collections.abc import Collection, Mapping

import numpy as np


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
