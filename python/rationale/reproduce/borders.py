"""Shows what a classifier that learnt from borders looked at, and what it looks at since borders tell nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.segmentation import mark_boundaries

from rationale.datasets import Split
from rationale.datasets.dataset import OnDemand
from rationale.evaluation.heatmaps import methods_of
from rationale.evaluation.regions import Mask, Share, border_mask, regions_of
from rationale.images import Pixels, save_png
from rationale.model import Model
from rationale.network import Network
from rationale.render.colours import symmetric_scale
from rationale.render.gallery import sheet
from rationale.render.pictures import Map, heatmap_picture

SHOWN = 6
_OUTLINES = {"object": (0.12, 0.14, 0.19), "border": (0.88, 0.51, 0.08)}  # dark, and orange


def most_on_borders(found: Sequence[Mapping[str, Share]], count: int = SHOWN) -> list[int]:
    """The pictures with the largest share of relevance on their borders, the largest first."""
    shares = [shares["border"].relevance if "border" in shares else 0.0 for shares in found]
    return [int(row) for row in np.argsort(-np.array(shares), kind="stable")[:count]]


def draw_borders(
    model: Model,
    split: Split,
    rows: Sequence[int],
    variants: Mapping[str, tuple[Network, Sequence[Mapping[str, Share]]]],
    path: Path,
    *,
    with_photographs: bool,
) -> Path:
    """Draws the heatmaps of some pictures under several weights as a PNG, object and border outlined.

    Args:
        model: the classifier.
        split: with objects.
        rows: of the pictures.
        variants: weights and where their relevance lay (`measure_regions`), by name.
        path: the PNG.
        with_photographs: the picture too, before its heatmaps.
    """
    assert split.objects is not None
    tiles = []
    for row in rows:
        view = model.view(split.images[row])
        regions = regions_of(model, split.images[row], split.objects[row])
        if with_photographs:
            tiles.append((split.ids[row], outlined(view, regions)))
        for name, (network, found) in variants.items():
            heatmap = _heatmap(model, network, view)
            picture = outlined(heatmap_picture(heatmap, symmetric_scale(heatmap)), regions)
            share = found[row]["border"].relevance if "border" in found[row] else 0.0
            tiles.append((f"{name}: {share:.0%} on the border", picture))
    columns = len(variants) + with_photographs
    save_png(sheet(tiles, columns if with_photographs else 2 * columns, side=max(model.input_size)), path)
    return path


def outlined(picture: Pixels, regions: Mapping[str, Mask]) -> Pixels:
    """The picture with a line around the object and around the border, uint8 (H, W, 3)."""
    drawn = picture / 255
    for name, colour in _OUTLINES.items():
        drawn = mark_boundaries(drawn, regions[name], color=colour, mode="inner")  # type: ignore[no-untyped-call]
    return np.round(drawn * 255).astype(np.uint8)


def inverted(split: Split) -> Split:
    """The split with its borders black where they were white, and white where they were black."""
    return replace(split, images=OnDemand(split.images, _with_inverted_border))


def _with_inverted_border(photo: Pixels) -> Pixels:
    border = border_mask(photo)
    return np.where(border if photo.ndim == 2 else border[..., None], 255 - photo, photo)


def _heatmap(model: Model, network: Network, view: Pixels) -> Map:
    make = methods_of(model)[model.composite().name]
    maps = make(network, model.preprocess([view]), target_layer=model.description.output.target_layer)
    return np.asarray(maps[0])
