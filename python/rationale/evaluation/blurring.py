"""What a part of a picture does for a score: the part is blurred away, and as much elsewhere, to compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from rationale.evaluation.flipping import FILLINGS
from rationale.images import Pixels
from rationale.model import Model

Mask = NDArray[np.bool_]

ELSEWHERE = 6  # places with which a part is compared
_TRIES = 40
_BATCH = 8


@dataclass(frozen=True)
class Blurred:
    """What blurring a part away did: how far a number fell, and how far on average where as much was blurred elsewhere.

    Both are of the number before; `elsewhere` is None where the part leaves no room for another like it.
    """

    fall: float
    elsewhere: float | None

    @property
    def holds(self) -> bool:
        """Whether the part matters: the number falls, and by more than elsewhere."""
        return self.fall > 0 and (self.elsewhere is None or self.fall > self.elsewhere)


def blurred_views(model: Model, view: Pixels, masks: Sequence[Mask]) -> NDArray[np.float32]:
    """A picture with each of the regions blurred away (by an eighth of its side), preprocessed, (masks, C, H, W)."""
    batch = model.preprocess([view])
    gone = FILLINGS["blur"](batch, np.random.default_rng(0))
    return np.concatenate([np.where(mask[None, None], gone, batch) for mask in masks])


def masks_elsewhere(mask: Mask, count: int = ELSEWHERE, seed: int = 0) -> list[Mask]:
    """The same region moved to other places, drawn by lot, mirrored by turns; those that leave most of it behind.

    What is moved beyond one side comes in at the other, so that the area is the same. None of them shares more than a
    fifth of its area with the region.
    """
    random = np.random.default_rng(seed)
    found: list[Mask] = []
    area = int(mask.sum())
    for number in range(_TRIES * count):
        if len(found) == count or not area:
            break
        moved = np.roll(mask[:, ::-1] if number % 2 else mask, random.integers(mask.shape), axis=(0, 1))
        if np.count_nonzero(moved & mask) <= 0.2 * area:
            found.append(moved)
    return found


def scores_of(model: Model, batch: NDArray[np.float32]) -> NDArray[np.float64]:
    """Scores of all classes before the softmax, (N, classes)."""
    found = []
    for start in range(0, len(batch), _BATCH):
        model.network.run(batch[start : start + _BATCH])
        scores = model.network.activation(model.target_layer)
        found.append(scores.reshape(len(scores), -1).astype(np.float64))
    return np.concatenate(found)


def margin_without(model: Model, view: Pixels, mask: Mask, label: int, other: int | None = None) -> Blurred:
    """How far the score of a class (less that of another) falls when a region is blurred away.

    Args:
        model: the classifier.
        view: as `Model.view` gives it.
        mask: bool (H, W) of that size.
        label, other: numbers of classes.
    """
    masks = [np.zeros_like(mask), mask, *masks_elsewhere(mask)]
    scores = scores_of(model, blurred_views(model, view, masks))
    margins = scores[:, label] - (scores[:, other] if other is not None else 0)
    falls = margins[0] - margins[1:]
    return Blurred(float(falls[0]), float(falls[1:].mean()) if len(falls) > 1 else None)


def densest(heatmap: NDArray[np.floating], share: float = 0.08) -> Mask:
    """Where positive relevance is densest: the given share of the pixels, after a blur; for pictures without parts."""
    positive = smoothed(heatmap)
    if not positive.any():
        return np.zeros(heatmap.shape, bool)
    return np.asarray((positive > np.quantile(positive, 1 - share)) & (positive > 0))


def smoothed(heatmap: NDArray[np.floating]) -> NDArray[np.float64]:
    """Positive relevance, blurred a little, so that its peak is a place and not a pixel."""
    return np.asarray(gaussian_filter(np.maximum(heatmap, 0).astype(np.float64), min(heatmap.shape) / 24))
