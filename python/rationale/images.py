"""Reads a picture from a path, a PIL image or an array into uint8 RGB or grey, and fits it to a network's input."""

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from rationale.errors import ImageError, OutputError
from rationale.resources import write_whole

Pixels = NDArray[np.uint8]
Source = str | PathLike[str] | Image.Image | NDArray[np.uint8]

MAX_PIXELS = 100_000_000
# No format that runs another program (EPS) or holds no pixels of its own.
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "TGA", "ICO", "HEIF")
_LACKING = {  # what reads a format that Pillow may not know
    ".heic": "Pillow's plugin pillow-heif (pip install pillow-heif)",
    ".heif": "Pillow's plugin pillow-heif (pip install pillow-heif)",
    ".avif": "a Pillow that reads AVIF (11.3 or later), or its plugin pillow-avif-plugin",
}
_PHOTOMETRIC = 262  # TIFF's tag that says what 0 means


def load_image(source: Source) -> Pixels:
    """Reads a picture as uint8, (H, W, 3) RGB or (H, W) grey.

    Turns it upright by its EXIF tag, lays transparency over white, reduces 16-bit and float samples to 8 bits.

    Raises:
        ImageError: the source is missing, a directory, empty, damaged, no picture, or above MAX_PIXELS.
    """
    if isinstance(source, np.ndarray):
        return _check_array(source)
    if isinstance(source, Image.Image):
        try:
            return _to_pixels(source, "the image")
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
            raise ImageError(f"the image cannot be read ({error})") from error
    path = Path(source)
    with _opened(path) as image:
        return _to_pixels(image, str(path))


def check_image(path: Path) -> None:
    """Reads a picture just far enough to know that it can be read: a JPEG in an eighth of its size.

    Raises:
        ImageError: as `load_image`.
    """
    with _opened(path) as image:
        _check_size(image, str(path))
        image.draft(None, (image.width // 8, image.height // 8))
        image.load()


def unreadable(paths: Iterable[Path]) -> dict[Path, ImageError]:
    """The pictures that cannot be read, and why (see `check_image`)."""
    wrong = {}
    for path in paths:
        try:
            check_image(path)
        except ImageError as error:
            wrong[path] = error
    return wrong


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file that Pillow opens; whatever goes wrong with it in the block is an ImageError."""
    _check_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # damaged metadata; the size is checked before anything is unpacked
            _know_formats()
            with Image.open(path, formats=[name for name in FORMATS if name in Image.OPEN]) as image:
                yield image
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: more than {MAX_PIXELS:,} pixels; make it smaller first") from error
    except UnidentifiedImageError as error:
        lacks = _LACKING.get(path.suffix.lower())
        what = f"needs {lacks}" if lacks else "not a picture in a format that is read here (PNG, JPEG, TIFF, WebP, …)"
        raise ImageError(f"{path}: {what}") from error
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:
        raise ImageError(f"{path}: the picture is damaged or cut off ({error})") from error


def _check_file(path: Path) -> None:
    try:
        if not path.exists():
            raise ImageError(f"{path}: no such file")
        if path.is_dir():
            raise ImageError(f"{path}: a directory; name the pictures in it")
        if not path.is_file():
            raise ImageError(f"{path}: not a regular file")
        if path.stat().st_size == 0:
            raise ImageError(f"{path}: the file is empty")
        with open(path, "rb"):
            pass
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error


def _check_array(array: NDArray[np.uint8]) -> Pixels:
    fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not fits or array.size == 0:
        raise ImageError(f"an image array must be uint8 (H, W, 3) or (H, W), not {array.dtype} {array.shape}")
    return np.ascontiguousarray(array)


@cache
def _know_formats() -> None:
    """Lets Pillow know all formats, those of its plugins that are installed too."""
    Image.init()
    with suppress(ImportError):
        import_module("pillow_heif").register_heif_opener()


def _check_size(image: Image.Image, name: str) -> None:
    if image.width * image.height == 0:
        raise ImageError(f"{name}: has no pixels")
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name}: {image.width} × {image.height} is more than {MAX_PIXELS:,} pixels; make it smaller")


def _to_pixels(image: Image.Image, name: str) -> Pixels:
    _check_size(image, name)
    clear, inverted = _transparent_sample(image), _is_inverted(image)
    kind = "I;16" if image.mode == "I" and image.format in ("PNG", "PPM") else image.mode
    image = ImageOps.exif_transpose(image)
    if kind.startswith("I") or kind == "F":
        samples = np.asarray(image, dtype=np.float64)
        grey = _reduce_depth(samples, kind, name)
        return np.where(samples == clear, np.uint8(255), 255 - grey if inverted else grey)
    if image.mode in ("1", "L"):
        grey = np.array(image.convert("L"))
        return np.where(grey == clear, np.uint8(255), grey)
    if image.has_transparency_data:
        if isinstance(clear, tuple):
            image.info["transparency"] = clear
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, "white")
        image = Image.alpha_composite(paper, layered)
    return np.array(image.convert("RGB"))


def _transparent_sample(image: Image.Image) -> float | tuple[int, ...]:
    """The grey level or colour that a file declares transparent, as its samples are read; NaN, like none, if none."""
    stated = image.info.get("transparency")
    tiles = getattr(image, "tile", None) if image.format == "PNG" else None
    raw = tiles[0].args if tiles else ""
    if raw == "RGB;16B" and isinstance(stated, tuple):
        return tuple(each >> 8 for each in stated)
    if not isinstance(stated, int) or image.mode in ("P", "RGB"):
        return np.nan
    return 255 * bool(stated) if image.mode == "1" else stated * {"L;2": 85, "L;4": 17}.get(str(raw), 1)


def _is_inverted(image: Image.Image) -> bool:
    """Whether 0 is white: Pillow sees to it in TIFF files of 8 bits, not of 16."""
    return image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0


def _reduce_depth(samples: NDArray[np.float64], mode: str, name: str) -> Pixels:
    """Integers in 0…65535 (or, of 32 bits, 0…255), or floats in 0…1 or 0…255, as uint8."""
    if not np.isfinite(samples).all():
        raise ImageError(f"{name}: holds NaN or infinite samples")
    bottom, top = samples.min(), samples.max()
    small = 255.0 if mode == "I" and top <= 255 else 65535.0  # 32-bit integers often hold plain grey levels
    full_scale = small if mode != "F" else 1.0 if top <= 1 else 255.0
    if bottom < 0 or top > full_scale:
        raise ImageError(f"{name}: samples from {bottom:g} to {top:g}; 0 to {full_scale:g} are understood")
    return np.round(samples * (255.0 / full_scale)).astype(np.uint8)


def to_grey(pixels: Pixels) -> Pixels:
    """(H, W) luma of (H, W, 3), ITU-R 601."""
    return pixels if pixels.ndim == 2 else np.array(Image.fromarray(pixels).convert("L"))


def to_rgb(pixels: Pixels) -> Pixels:
    """(H, W, 3) of (H, W)."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def fit(pixels: Pixels, size: tuple[int, int], how: str, filled_with: int | tuple[int, ...] | None = None) -> Pixels:
    """Resizes to `size` = (height, width), antialiased.

    `how` says what happens to another aspect ratio: `crop` keeps the centre, `pad` keeps all of it and fills the
    sides with `filled_with`, or else with the median of the border, `stretch` distorts.
    """
    height, width = size
    image = Image.fromarray(pixels)
    if image.size == (width, height):
        return pixels
    if how == "crop":
        fitted = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    elif how == "pad":
        colour = border_colour(pixels) if filled_with is None else filled_with
        fitted = _padded(image, (width, height), colour)
    else:
        fitted = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.array(fitted)


def _padded(image: Image.Image, size: tuple[int, int], colour: int | tuple[int, ...]) -> Image.Image:
    """Like ImageOps.pad, but something is left of a picture that is much longer than wide."""
    width, height = size
    if image.width / image.height > width / height:
        inside = (width, max(1, round(image.height / image.width * width)))
    else:
        inside = (max(1, round(image.width / image.height * height)), height)
    canvas = Image.new(image.mode, size, colour)
    place = (round((width - inside[0]) / 2), round((height - inside[1]) / 2))
    canvas.paste(image.resize(inside, Image.Resampling.BICUBIC), place)
    return canvas


def fit_mask(mask: NDArray[np.bool_], size: tuple[int, int], how: str) -> NDArray[np.bool_]:
    """A region (H, W) of a picture where `fit` takes it; a pixel belongs to it if half of it does."""
    return fit(mask.astype(np.uint8) * 255, size, how, filled_with=0) > 127


def border_colour(pixels: Pixels) -> int | tuple[int, ...]:
    """Median of the outermost pixels: an int for grey, a tuple for colour."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    median = np.median(border, axis=0)
    return int(median) if pixels.ndim == 2 else tuple(int(each) for each in median)


def save_png(pixels: Pixels, path: Path) -> None:
    """Writes a picture, uint8 (H, W) or (H, W, 3).

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "PNG")
        write_whole(path, content.getvalue())
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be written ({getattr(error, 'strerror', None) or error})") from error
