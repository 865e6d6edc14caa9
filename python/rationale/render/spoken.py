"""Photographs with their heatmaps and sentences as one picture: phrases and outlines in the same colours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rationale.images import Pixels, to_rgb
from rationale.render.colours import PART_COLOURS, symmetric_scale
from rationale.render.fonts import Font, font
from rationale.render.pictures import Map, outlines_picture, overlay_picture

_INK, _SOFT = (28, 31, 36), (91, 100, 112)
_GAP, _PAD = 14, 18


@dataclass(frozen=True)
class Spoken:
    """One photograph.

    Attributes:
        photo: what the network saw, uint8 (H, W, 3).
        heatmap: (H, W).
        pieces: of the sentence, each with the part that it names.
        regions: bool (H, W) by part.
        note: a line under the sentence.
    """

    photo: Pixels
    heatmap: Map
    pieces: Sequence[tuple[str, str | None]]
    regions: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    note: str = ""


def spoken_sheet(rows: Sequence[Spoken], columns: int = 2, width: int = 400) -> Pixels:
    """Photographs beside their heatmaps, over their sentences, uint8 (H, W, 3); each picture is `width` pixels wide."""
    drawn = [_drawn(row, width) for row in rows]
    lines = [drawn[at : at + columns] for at in range(0, len(drawn), columns)]
    heights = [max(each.height for each in line) for line in lines]
    step = 2 * width + _GAP + 2 * _PAD
    canvas = Image.new("RGB", (step * min(columns, len(drawn)), sum(heights) + 2 * _PAD * len(lines)), "white")
    y = _PAD
    for line, height in zip(lines, heights, strict=True):
        for place, each in enumerate(line):
            canvas.paste(each, (place * step + _PAD, y))
        y += height + 2 * _PAD
    return np.array(canvas)


def _drawn(row: Spoken, width: int) -> Image.Image:
    named = dict.fromkeys(part for _, part in row.pieces if part is not None and part in row.regions)
    colours = dict(zip(named, PART_COLOURS, strict=False))
    photo = Image.fromarray(to_rgb(row.photo)).convert("RGBA")
    size = (width, round(width * photo.height / photo.width))
    photo = photo.resize(size, Image.Resampling.LANCZOS)
    if colours:
        lines = Image.fromarray(outlines_picture({part: row.regions[part] for part in colours}, colours))
        photo = Image.alpha_composite(photo, lines.resize(size, Image.Resampling.LANCZOS))
    heatmap = overlay_picture(row.photo, row.heatmap, symmetric_scale(row.heatmap))
    words = [(word, part) for text, part in row.pieces for word in _words(text)]
    letters = font(19, "".join(word for word, _ in words))
    placed, bottom = _placed(words, letters, 2 * width + _GAP)
    canvas = Image.new("RGB", (2 * width + _GAP, size[1] + 12 + bottom + (22 if row.note else 0)), "white")
    canvas.paste(photo.convert("RGB"), (0, 0))
    canvas.paste(Image.fromarray(heatmap).resize(size, Image.Resampling.LANCZOS), (width + _GAP, 0))
    draw = ImageDraw.Draw(canvas)
    top = size[1] + 12
    for (x, y), word, part in placed:
        draw.text((x, top + y), word, fill=_INK, font=letters)
        if part in colours:
            line = (x, top + y + 25, x + letters.getlength(word), top + y + 25)
            draw.line(line, fill=colours[part], width=3)
    if row.note:
        draw.text((0, top + bottom + 2), row.note, fill=_SOFT, font=font(14, row.note))
    return canvas


def _words(text: str) -> list[str]:
    """Words with the space behind them."""
    words = text.split(" ")
    return [word + (" " if at < len(words) - 1 else "") for at, word in enumerate(words) if word or at < len(words) - 1]


def _placed(
    words: Sequence[tuple[str, str | None]], letters: Font, width: int
) -> tuple[list[tuple[tuple[float, int], str, str | None]], int]:
    """Where each word goes, and the height of all lines."""
    found, x, y = [], 0.0, 0
    for word, part in words:
        length = letters.getlength(word)
        if x + letters.getlength(word.rstrip()) > width and x > 0:
            x, y = 0.0, y + 32
        if word.strip() or x > 0:
            found.append(((x, y), word, part))
            x += length
    return found, y + 32
