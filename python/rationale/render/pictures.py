"""Heatmaps, overlays and their colour bar as pictures."""

import base64
import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from scipy.ndimage import binary_erosion

from rationale.images import Pixels, to_grey, to_rgb
from rationale.render.colours import diverging

Map = NDArray[np.floating]

SMALL = 100  # pixels on the longer side; of smaller pictures each pixel is shown as a square
_PALETTE = diverging(np.linspace(-1, 1, 255), 1.0).tobytes()
_KINDS = {b"\x89PNG": "png", b"\xff\xd8": "jpeg", b"RIFF": "webp"}  # by how files begin
_COMPRESSION = 4  # of PNG files: beyond it they take many times as long, and are a few percent smaller
_WANTED_SIZE = 448  # pixels on the longer side, reached in whole steps so that a network's pixel stays a square


def heatmap_picture(heatmap: Map, scale: float) -> Pixels:
    """Relevance (H, W) in colours, one pixel for each of the network's, uint8 (H, W, 3)."""
    return diverging(heatmap, scale)


def overlay_picture(photo: Pixels, heatmap: Map, scale: float) -> Pixels:
    """The photo, pale and grey, under relevance that covers it the more the stronger it is, uint8 (H, W, 3)."""
    pale = 116 + to_rgb(to_grey(photo)).astype(float) * 0.4
    cover = np.clip(np.abs(heatmap) / scale, 0, 1)[..., None] ** 0.6
    return np.round(pale * (1 - cover) + diverging(heatmap, scale) * cover).astype(np.uint8)


def outlines_picture(regions: Mapping[str, NDArray[np.bool_]], colours: Mapping[str, str]) -> Pixels:
    """Lines around regions, to lay over the photo: RGBA, uint8 (2 H, 2 W, 4), clear elsewhere.

    Args:
        regions: bool (H, W) by name.
        colours: "#rrggbb" of each.
    """
    first = next(iter(regions.values()))
    canvas = np.zeros((2 * first.shape[0], 2 * first.shape[1], 4), np.uint8)
    for name, mask in regions.items():
        large = mask.repeat(2, axis=0).repeat(2, axis=1)
        inner = large & ~binary_erosion(large, iterations=2)
        canvas[large & ~inner & (canvas[..., 3] == 0)] = (*ImageColor.getrgb(colours[name]), 40)
        canvas[inner] = (*ImageColor.getrgb(colours[name]), 255)
    return canvas


def enlarge(picture: Pixels, wanted: int = _WANTED_SIZE) -> Pixels:
    """The picture enlarged by a whole factor, squares kept sharp."""
    factor = max(1, round(wanted / max(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def with_scale_bar(picture: Pixels, scale: float) -> Pixels:
    """The picture above a colour bar that says what the darkest red and blue stand for."""
    height, width = picture.shape[:2]
    width = max(width, 160)
    canvas = Image.new("RGB", (width, height + 44), "white")
    canvas.paste(Image.fromarray(to_rgb(picture)), ((width - picture.shape[1]) // 2, 0))
    margin = width // 12
    ramp = diverging(np.linspace(-1, 1, width - 2 * margin), 1.0)
    canvas.paste(Image.fromarray(np.repeat(ramp[None], 10, axis=0)), (margin, height + 10))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((margin - 1, height + 9, width - margin, height + 20), outline=(170, 170, 170))
    font = ImageFont.load_default(13)
    for x, text, anchor in (
        (margin, f"-{scale:.3g}", "la"),
        (width / 2, "0", "ma"),
        (width - margin, f"+{scale:.3g}", "ra"),
    ):
        draw.text((x, height + 24), text, fill=(60, 60, 60), font=font, anchor=anchor)
    return np.array(canvas)


def png_bytes(picture: Pixels) -> bytes:
    """The picture as a PNG file."""
    return _png(Image.fromarray(picture))


def map_png(values: Map, scale: float) -> bytes:
    """Relevance (H, W) in colours as a PNG file: in 255 steps from −scale to +scale, white exactly where it is zero.

    A third of the size of the same in full colour, and made in a fraction of the time.
    """
    return _png(_map_image(values, scale))


def data_uri(picture: Pixels | bytes) -> str:
    """A picture, or a file of one (PNG, JPEG or WebP), inside a page."""
    content = picture if isinstance(picture, bytes) else png_bytes(picture)
    kind = next(kind for start, kind in _KINDS.items() if content.startswith(start))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def jpeg_uri(picture: Pixels) -> str:
    """A picture as a JPEG inside a page: small, not to the last bit."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=85, subsampling=0)
    return data_uri(buffer.getvalue())


def _map_image(values: Map, scale: float) -> Image.Image:
    steps = np.round(np.clip(values / scale, -1, 1) * 127).astype(np.int16)
    small = np.sign(values).astype(np.int16) * (steps == 0)  # what is not zero is not white
    image = Image.fromarray((127 + steps + small).astype(np.uint8))
    image.putpalette(_PALETTE)
    return image


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_COMPRESSION)
    return buffer.getvalue()
