"""Where relevance lies: on the thing, on each of its parts, on the background, or on a border that tells the class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import label

from rationale.datasets import Split
from rationale.errors import OptionError
from rationale.images import Pixels
from rationale.lrp import Composite
from rationale.model import Model
from rationale.network import Network

Mask = NDArray[np.bool_]

BATCH = 16
_WHITE, _BLACK = 250, 5  # grey levels from and up to which a border is white or black


@dataclass(frozen=True)
class Share:
    """What one region of one picture holds: the share of the positive relevance, and that of the pixels."""

    relevance: float
    area: float

    @property
    def density(self) -> float:
        """How much denser relevance is here than over the whole picture; 1 is chance."""
        return self.relevance / self.area


def border_mask(photo: Pixels) -> Mask:
    """Plain white or black areas that reach the edge, bool (H, W): what turning a photograph leaves at its sides."""
    values = photo if photo.ndim == 2 else photo.min(axis=2)
    highest = photo if photo.ndim == 2 else photo.max(axis=2)
    found = np.zeros(values.shape, bool)
    for plain in (values >= _WHITE, highest <= _BLACK):
        areas, _ = label(plain)
        touching = np.unique(np.concatenate([areas[0], areas[-1], areas[:, 0], areas[:, -1]]))
        found |= np.isin(areas, touching[touching > 0])
    return found


def relevance_shares(heatmap: NDArray[np.floating], regions: Mapping[str, Mask]) -> dict[str, Share]:
    """Share of the positive relevance and of the area that each region holds; regions without a pixel are left out.

    Args:
        heatmap: (H, W).
        regions: bool (H, W), by name.

    Raises:
        OptionError: a region has another shape.
    """
    positive = np.maximum(heatmap, 0).astype(np.float64)
    whole = float(positive.sum())
    shares = {}
    for name, mask in regions.items():
        if mask.shape != heatmap.shape:
            raise OptionError(f"region {name!r} is {mask.shape}, the heatmap {heatmap.shape}")
        if mask.any():
            shares[name] = Share(float(positive[mask].sum()) / whole if whole else 0.0, float(mask.mean()))
    return shares


def regions_of(model: Model, photo: Pixels, thing: Mask) -> dict[str, Mask]:
    """`object`, `border` and `background` (neither of them) of the photo as the network sees it, bool (H, W).

    Args:
        model: whose view it is.
        photo: as it came.
        thing: bool, of the photo's size: where the object is.
    """
    object_ = model.view_mask(thing)
    border = model.view_mask(border_mask(photo)) & ~object_
    return {"object": object_, "background": ~object_ & ~border, "border": border}


def measure_regions(
    model: Model,
    split: Split,
    *,
    network: Network | None = None,
    composite: str | Composite | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Share]]:
    """For each picture of a split, where the relevance of the predicted class lies.

    Args:
        model: the classifier, or one like `network`.
        split: with objects, and parts if it has them.
        network: other weights than the model's.
        composite: how to propagate; the model's own way where None.
        report: called with the pictures done and their number.

    Returns:
        Shares of `object`, `background` (neither object nor border), `border`, and each part by its name.

    Raises:
        OptionError: the split does not know where its objects are.
    """
    if split.objects is None:
        raise OptionError(f"the split {split.name!r} does not know where its objects are")
    found = []
    (name,) = model.network.inputs
    for start in range(0, len(split), BATCH):
        rows = range(start, min(start + BATCH, len(split)))
        photos = [split.images[row] for row in rows]
        views = [model.view(photo) for photo in photos]
        relevance = model.relevance(views, composite=composite, keep=[name], network=network)[name].sum(axis=1)
        for row, photo, heatmap in zip(rows, photos, relevance, strict=True):
            regions = regions_of(model, photo, split.objects[row])
            parts = split.parts[row] if split.parts is not None else {}
            regions |= {part: model.view_mask(mask) for part, mask in parts.items()}
            found.append(relevance_shares(heatmap, regions))
        report(rows[-1] + 1, len(split))
    return found
