"""The same photo under several heatmaps, side by side."""

from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rationale.images import Pixels, to_rgb
from rationale.render.colours import symmetric_scale
from rationale.render.pictures import Map, enlarge, heatmap_picture

_TILE, _GAP, _CAPTION = 200, 16, 24


def gallery(photo: Pixels | None, heatmaps: Mapping[str, Map], columns: int = 5) -> Pixels:
    """The photo, if given, then each heatmap in its own scale under its name, uint8 (H, W, 3).

    Args:
        photo: what the network saw, uint8 (H, W) or (H, W, 3), or None.
        heatmaps: (H, W) by name.
        columns: tiles in a row.
    """
    tiles = {} if photo is None else {"picture": to_rgb(photo)}
    tiles |= {name: heatmap_picture(each, symmetric_scale(each)) for name, each in heatmaps.items()}
    drawn = {name: _tile(tile) for name, tile in tiles.items()}
    side = max(max(tile.size) for tile in drawn.values())
    rows = -(-len(drawn) // columns)
    # Pillow's own font has no ×, hence the x below.
    step = (side + _GAP, side + _CAPTION + _GAP)
    canvas = Image.new("RGB", (columns * step[0] + _GAP, rows * step[1] + _GAP), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(14)
    for number, (name, tile) in enumerate(drawn.items()):
        x, y = _GAP + number % columns * step[0], _GAP + number // columns * step[1]
        draw.text((x, y), name.replace("×", "x"), fill=(31, 36, 48), font=font)
        canvas.paste(tile, (x, y + _CAPTION))
        box = (x - 1, y + _CAPTION - 1, x + tile.width, y + _CAPTION + tile.height)
        draw.rectangle(box, outline=(209, 213, 219))
    return np.array(canvas)


def _tile(picture: Pixels) -> Image.Image:
    """Enlarged by whole steps, or made smaller, to about a tile."""
    image = Image.fromarray(enlarge(picture, _TILE))
    if max(image.size) > 1.3 * _TILE:
        image.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
    return image
