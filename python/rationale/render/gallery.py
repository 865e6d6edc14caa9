"""Pictures under their names, side by side, such as one photo under several heatmaps."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import numpy as np
from PIL import Image, ImageDraw

from rationale.images import Pixels, to_rgb
from rationale.render.colours import symmetric_scale
from rationale.render.fonts import font
from rationale.render.pictures import Map, enlarge, heatmap_picture

_TILE, _GAP, _CAPTION = 200, 16, 24


def gallery(photo: Pixels | None, heatmaps: Mapping[str, Map], columns: int = 5, note: str = "") -> Pixels:
    """The photo, if given, then each heatmap in its own scale under its name, uint8 (H, W, 3).

    Args:
        photo: what the network saw, uint8 (H, W) or (H, W, 3), or None.
        heatmaps: (H, W) by name.
        columns: tiles in a row.
        note: a line of text under them.
    """
    tiles = [] if photo is None else [("picture", to_rgb(photo))]
    drawn = sheet(
        tiles + [(name, heatmap_picture(each, symmetric_scale(each))) for name, each in heatmaps.items()], columns
    )
    return _with_note(drawn, note) if note else drawn


def _with_note(picture: Pixels, note: str) -> Pixels:
    """The picture with a text under it, in as many lines as it takes."""
    letters = font(17, note)
    wide = max(20, int((picture.shape[1] - 2 * _GAP) / letters.getlength("n")))
    lines = [line for told in note.splitlines() for line in wrap(told, wide)]
    canvas = Image.new("RGB", (picture.shape[1], picture.shape[0] + 24 * len(lines) + _GAP), "white")
    canvas.paste(Image.fromarray(picture), (0, 0))
    ImageDraw.Draw(canvas).multiline_text(
        (_GAP, picture.shape[0]), "\n".join(lines), fill=(31, 36, 48), font=letters, spacing=6
    )
    return np.array(canvas)


def sheet(tiles: Sequence[tuple[str, Pixels]], columns: int, side: int = _TILE) -> Pixels:
    """Pictures, uint8 (h, w, 3), each about `side` pixels long under its name, in rows, uint8 (H, W, 3)."""
    drawn = [(name, _tile(picture, side)) for name, picture in tiles]
    width, height = (max(tile.size[axis] for _, tile in drawn) for axis in (0, 1))
    rows = -(-len(drawn) // columns)
    step = (width + _GAP, height + _CAPTION + _GAP)
    canvas = Image.new("RGB", (columns * step[0] + _GAP, rows * step[1] + _GAP), "white")
    draw, letters = ImageDraw.Draw(canvas), font(14, "".join(name for name, _ in tiles))
    for number, (name, tile) in enumerate(drawn):
        x, y = _GAP + number % columns * step[0], _GAP + number // columns * step[1]
        draw.text((x, y), name, fill=(31, 36, 48), font=letters)
        canvas.paste(tile, (x, y + _CAPTION))
        box = (x - 1, y + _CAPTION - 1, x + tile.width, y + _CAPTION + tile.height)
        draw.rectangle(box, outline=(209, 213, 219))
    return np.array(canvas)


def _tile(picture: Pixels, side: int) -> Image.Image:
    """Enlarged by whole steps, or made smaller, to about a tile."""
    image = Image.fromarray(enlarge(picture, side))
    if max(image.size) > 1.3 * side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image
