"""What units did in a decision: data, the figure of the way from the class to the pixels, and what a report shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rationale.images import Pixels, to_rgb
from rationale.render.colours import symmetric_scale
from rationale.render.fonts import write
from rationale.render.numbers import percent, signed
from rationale.render.pictures import SMALL, data_uri, overlay_picture

Array = NDArray[np.float32]

_INK, _SOFT, _LINE = (28, 31, 36), (91, 100, 112), (200, 205, 211)
_MINUS = "−"


@dataclass(frozen=True, eq=False)
class UnitEvidence:
    """What one channel did in a decision, and what is known of it.

    Attributes:
        layer, number: which.
        relevance: that it carried; with a unit above it, what came through that one.
        share: the same as a share of the score's magnitude.
        activation: the greatest of its map; None where it was not kept.
        name, evidence: what its top pictures have in common, and how sure that is; empty where nothing is known.
        heatmap: what of the picture spoke through it, (H, W), relevance; None where it was not computed.
        crops: parts of other pictures that excite it most.
        stimulus: a picture made to excite it; None where there is none.
        below: units of a lower layer that passed this unit's relevance on, the strongest first.
    """

    layer: str
    number: int
    relevance: float
    share: float
    activation: float | None = None
    name: str = ""
    evidence: str = ""
    heatmap: Array | None = None
    crops: Sequence[Pixels] = ()
    stimulus: Pixels | None = None
    below: Sequence["UnitEvidence"] = ()

    @property
    def title(self) -> str:
        """Its name, or its layer and number."""
        return self.name or f"{self.layer} {self.number}"

    def as_dict(self) -> dict[str, Any]:
        """Everything but the pictures as plain data."""
        kept = ("layer", "number", "relevance", "share", "activation", "name", "evidence")
        return {**{key: getattr(self, key) for key in kept}, "below": [each.as_dict() for each in self.below]}


def units_view(photo: Pixels, units: Mapping[str, Sequence[UnitEvidence]]) -> list[dict[str, Any]]:
    """What a report shows of the units, by layer; all heatmaps of a layer in one scale."""
    found = []
    for layer, some in units.items():
        scale = _scale(some)
        lower = [each for unit in some for each in unit.below]
        below = _scale(lower)
        found.append(
            {
                "name": layer,
                "lower": lower[0].layer if lower else "",
                "units": [_view(photo, each, scale, below) for each in some],
            }
        )
    return found


def _view(photo: Pixels, unit: UnitEvidence, scale: float, below: float) -> dict[str, Any]:
    return {
        "unit": unit.as_dict(),
        "share": percent(abs(unit.share)) if unit.share >= 0 else _MINUS + percent(abs(unit.share)),
        "heatmap": None if unit.heatmap is None else data_uri(overlay_picture(photo, unit.heatmap, scale)),
        "crops": [data_uri(each) for each in unit.crops],
        "small": bool(unit.crops) and max(unit.crops[0].shape[:2]) < 40,
        "stimulus": None if unit.stimulus is None else data_uri(unit.stimulus),
        "below": [_view(photo, each, below, below) for each in unit.below],
    }


def _scale(units: Sequence[UnitEvidence]) -> float:
    maps = [each.heatmap for each in units if each.heatmap is not None]
    return symmetric_scale(np.stack(maps)) if maps else 1.0


# ---- the figure ------------------------------------------------------------------------------------------------------

_WIDE, _NARROW, _CROP, _PAD = 208, 132, 62, 28


def chain_picture(photo: Pixels, heatmap: Array, title: str, score: float, units: Sequence[UnitEvidence]) -> Pixels:
    """Class → channels → channels below → pixels, from left to right, uint8 (H, W, 3).

    Args:
        photo: what the network saw.
        heatmap: relevance of its pixels for the class, (H, W).
        title: of the class.
        score: that was distributed.
        units: channels of one layer, with those below them.
    """
    wide = _WIDE if photo.shape[1] > 1.2 * photo.shape[0] else _NARROW
    tall = round(wide * photo.shape[0] / photo.shape[1])
    small = (round(wide * 0.62), round(tall * 0.62))
    below = max((len(each.below) for each in units), default=0)
    row = max(tall + 52, below * (max(small[1], _CROP) + 30) + 8, 2 * _CROP + 40)
    columns = (_PAD, _PAD + wide + 66, _PAD + 2 * wide + 74 + 2 * _CROP + 70)
    width = columns[2] + small[0] + 10 + _CROP + 150
    canvas = Image.new("RGB", (width, 70 + max(row * len(units), 2 * tall + 90) + _PAD), "white")
    draw = ImageDraw.Draw(canvas)
    for x, text in zip(columns, _headings(units), strict=False):
        write(draw, (x, 22), text, 14, _SOFT)
    middle = 70 + row * len(units) // 2
    top = max(64, middle - tall - 30)
    canvas.paste(Image.fromarray(to_rgb(photo)).resize((wide, tall), _way(photo)), (columns[0], top))
    seen = overlay_picture(photo, heatmap, symmetric_scale(heatmap))
    canvas.paste(Image.fromarray(seen).resize((wide, tall), _way(photo)), (columns[0], top + tall + 8))
    write(draw, (columns[0], top + 2 * tall + 16), title, 19, _INK)
    write(draw, (columns[0], top + 2 * tall + 42), f"score {signed(score)}", 14, _SOFT)
    scale, faint = _scale(units), _scale([lower for each in units for lower in each.below])
    for number, unit in enumerate(units):
        y = 64 + number * row
        _join(draw, (columns[0] + wide + 8, middle), (columns[1] - 10, y + 8 + tall // 2), abs(unit.share))
        _unit(canvas, unit, photo, (columns[1], y), (wide, tall), scale, 4)
        step = max(small[1], _CROP) + 30
        for place, lower in enumerate(unit.below):
            at = (columns[2], y + place * step)
            _join(
                draw,
                (columns[1] + wide + 16 + 2 * _CROP, y + 8 + tall // 2),
                (columns[2] - 10, at[1] + small[1] // 2 + 8),
                abs(lower.share),
            )
            _unit(canvas, lower, photo, at, small, faint, 1)
    return np.array(canvas)


def _headings(units: Sequence[UnitEvidence]) -> list[str]:
    layers = [units[0].layer] if units else []
    layers += [unit.below[0].layer for unit in units if unit.below][:1]
    return ["the decision", *layers]


def _unit(
    canvas: Image.Image,
    unit: UnitEvidence,
    photo: Pixels,
    at: tuple[int, int],
    size: tuple[int, int],
    scale: float,
    crops: int,
) -> None:
    """A channel: what of the picture spoke through it, pictures that excite it, its name and its share."""
    draw, (x, y) = ImageDraw.Draw(canvas), at
    if unit.heatmap is not None:
        seen = Image.fromarray(overlay_picture(photo, unit.heatmap, scale)).resize(size, _way(photo))
        canvas.paste(seen, (x, y + 8))
        draw.rectangle((x - 1, y + 7, x + size[0], y + 8 + size[1]), outline=_LINE)
    for number, crop in enumerate(unit.crops[:crops]):
        drawn = Image.fromarray(to_rgb(crop))
        factor = (_CROP - 2) / max(drawn.size)
        way = Image.Resampling.NEAREST if factor >= 2 else Image.Resampling.LANCZOS
        drawn = drawn.resize((max(1, round(drawn.width * factor)), max(1, round(drawn.height * factor))), way)
        left, top = x + size[0] + 8 + number % 2 * _CROP, y + 8 + number // 2 * _CROP
        canvas.paste(drawn, (left, top))
        draw.rectangle((left - 1, top - 1, left + drawn.width, top + drawn.height), outline=_LINE)
    name = f"{unit.name} ({unit.number})" if unit.name else f"unit {unit.number}"
    share = f"{_MINUS if unit.share < 0 else '+'}{percent(abs(unit.share))}"
    if crops > 1:
        below = y + 12 + size[1]
        write(draw, (x, below), name, 15, _INK)
        write(draw, (x + size[0], below + 2), share, 14, _SOFT, anchor="ra")
    else:
        left = x + size[0] + 8 + _CROP + 8
        write(draw, (left, y + 10), name, 14, _INK)
        write(draw, (left, y + 30), share, 13, _SOFT)


def _join(draw: ImageDraw.ImageDraw, start: tuple[int, int], end: tuple[int, int], share: float) -> None:
    """A line as thick as what it carries."""
    middle = (start[0] + end[0]) // 2
    points = [start, (middle, start[1]), (middle, end[1]), end]
    draw.line(points, fill=_LINE, width=max(1, min(9, round(24 * share))), joint="curve")


def _way(photo: Pixels) -> Image.Resampling:
    return Image.Resampling.NEAREST if max(photo.shape[:2]) < SMALL else Image.Resampling.LANCZOS
