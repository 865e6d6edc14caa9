"""Crops of a unit side by side as one compressed picture: small files have more header than content."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rationale.errors import DataError
from rationale.images import Pixels
from rationale.network import Box, cut
from rationale.render.pictures import data_uri

QUALITY = 80  # of WebP


def crop_of(view: Pixels, box: Box, filling: int | tuple[int, ...], side: int) -> Pixels:
    """The part of a picture in a box, filled beyond it, made smaller where it is longer than `side`."""
    found = cut(view, box, filling)
    height, width = found.shape[:2]
    if max(height, width) <= side:
        return found
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(Image.fromarray(found).resize(size, Image.Resampling.LANCZOS))


def pack(pictures: Sequence[Pixels]) -> bytes:
    """Pictures of one size side by side: grey ones as PNG, exactly, coloured ones as WebP."""
    strip = np.concatenate(pictures, axis=1)
    content = io.BytesIO()
    if strip.ndim == 2:
        Image.fromarray(strip).save(content, "PNG")
    else:
        Image.fromarray(strip).save(content, "WEBP", quality=QUALITY, method=2)
    return content.getvalue()


def unpack(content: bytes | NDArray[np.uint8], count: int) -> list[Pixels]:
    """What `pack` packed, so many pictures; none of an empty strip.

    Raises:
        DataError: it is damaged.
    """
    encoded = bytes(content)
    if not encoded:
        return []
    try:
        strip = np.array(Image.open(io.BytesIO(encoded)))
    except (OSError, ValueError) as error:
        raise DataError(f"a strip of crops is damaged ({error})") from error
    return [np.ascontiguousarray(each) for each in np.split(strip, count, axis=1)]


def as_uri(content: bytes | NDArray[np.uint8]) -> str:
    """A strip inside a page; empty for an empty one."""
    encoded = bytes(content)
    return data_uri(encoded) if encoded else ""
