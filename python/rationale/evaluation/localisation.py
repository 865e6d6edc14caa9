"""Does relevance lie on the thing? Mass and rank accuracy (Arras, Osman and Samek 2022, "CLEVR-XAI", section 3.3)."""

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OptionError

Array = NDArray[np.float32]


def relevance_mass_accuracy(heatmaps: Array, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the positive relevance that lies inside the mask, (N,); 0 where there is no positive relevance.

    Args:
        heatmaps: (N, H, W).
        masks: bool (N, H, W), none of them empty.

    Raises:
        OptionError: shapes that differ, or an empty mask.
    """
    _check(heatmaps, masks)
    positive = np.maximum(heatmaps, 0).astype(np.float64)
    inside = np.where(masks, positive, 0).sum(axis=(1, 2))
    everywhere = positive.sum(axis=(1, 2))
    return np.asarray(np.divide(inside, everywhere, out=np.zeros(len(heatmaps)), where=everywhere > 0))


def relevance_rank_accuracy(heatmaps: Array, masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Of the K most relevant pixels, K being the mask's size, the share inside the mask, (N,).

    Pixels that tie for the last places count by the share of them that is chosen; arguments and errors as for the mass.
    """
    _check(heatmaps, masks)
    found = []
    for heatmap, mask in zip(heatmaps, masks, strict=True):
        size = int(mask.sum())
        last = np.partition(heatmap.ravel(), heatmap.size - size)[heatmap.size - size]
        above, tied = heatmap > last, heatmap == last
        chosen = (size - above.sum()) / tied.sum()
        found.append(((above & mask).sum() + chosen * (tied & mask).sum()) / size)
    return np.array(found, np.float64)


def _check(heatmaps: Array, masks: NDArray[np.bool_]) -> None:
    if heatmaps.shape != masks.shape or heatmaps.ndim != 3 or masks.dtype != bool:
        raise OptionError(f"heatmaps {heatmaps.shape} and bool masks {masks.shape} must both be (N, H, W)")
    if not np.isfinite(heatmaps).all():
        raise OptionError("heatmaps hold NaN or infinity")
    if not masks.any(axis=(1, 2)).all():
        raise OptionError("a mask is empty: leave that picture out")
