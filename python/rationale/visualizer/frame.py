"""A picture as a client sends it, encoded or as plain pixels, and its checked way to an array."""

import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from rationale.errors import ImageError
from rationale.images import FORMATS, Pixels, load_image

_HEAD = struct.Struct("<IBxHH2x")  # number, kind, width, height; twelve bytes
_ENCODED, _GREY, _RGB = 0, 1, 3


@dataclass(frozen=True)
class Frame:
    """One picture: a file's bytes where `size` is None, else (height, width) and `channels` bytes a pixel.

    `number` is the client's own count of its frames.
    """

    number: int
    content: bytes
    size: tuple[int, int] | None = None
    channels: int = 3


def read_frame(message: bytes) -> Frame:
    """A binary message: number (uint32), kind (uint8: 0 a picture file, 1 grey, 3 RGB), a byte, width and height
    (uint16; 0 for a file), two bytes, then the bytes of the picture; little-endian.

    Raises:
        ImageError: it is cut off or its parts do not agree.
    """
    if len(message) <= _HEAD.size:
        raise ImageError(f"a frame of {len(message)} bytes holds no picture")
    number, kind, width, height = _HEAD.unpack_from(message)
    content = message[_HEAD.size :]
    if kind == _ENCODED:
        return Frame(number, content)
    if kind not in (_GREY, _RGB) or width * height == 0 or len(content) != width * height * kind:
        raise ImageError(f"a frame of {width} × {height} pixels, kind {kind}, does not have {len(content)} bytes")
    return Frame(number, content, (height, width), kind)


def pixels_of(frame: Frame, most_pixels: int) -> Pixels:
    """The frame's picture, uint8 (H, W) or (H, W, 3) RGB, upright; its size is checked before it is unpacked.

    Raises:
        ImageError: it is no picture, damaged, or too large.
    """
    if frame.size is not None:
        pixels = np.frombuffer(frame.content, np.uint8)
        return pixels.reshape(frame.size if frame.channels == 1 else (*frame.size, 3)).copy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.init()
            formats = [name for name in FORMATS if name in Image.OPEN]
            with Image.open(io.BytesIO(frame.content), formats=formats) as image:
                if image.width * image.height > most_pixels:
                    raise ImageError(
                        f"the picture has {image.width} × {image.height} pixels; at most {most_pixels:,} are taken: "
                        "make it smaller"
                    )
                return load_image(image)
    except Image.DecompressionBombError as error:
        raise ImageError(f"the picture has far more than {most_pixels:,} pixels; make it smaller") from error
    except UnidentifiedImageError as error:
        raise ImageError("that is no picture in a format that is read here (PNG, JPEG, TIFF, WebP, …)") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise ImageError(f"the picture is damaged or cut off ({error})") from error
