"""Random changes of training pictures that leave their class as it is."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import affine_transform

from rationale.description import Training
from rationale.images import Pixels, border_colour, to_rgb

Array = NDArray[np.float32]

LARGEST = 4  # times the input's longer side; larger photographs are made smaller before they are changed


def augment(batch: Array, how: Training, random: np.random.Generator) -> Array:
    """Rotates (degrees), zooms (share) and shifts (pixels) each picture of (N, C, H, W) at random, within `how`."""
    if how.photographs or not (how.rotate or how.zoom or how.shift):
        return batch
    centre = (np.array(batch.shape[2:]) - 1) / 2
    changed = np.empty_like(batch)
    for picture, result in zip(batch, changed, strict=True):
        angle = np.deg2rad(random.uniform(-how.rotate, how.rotate))
        size = 1 + random.uniform(-how.zoom, how.zoom)
        cosine, sine = np.cos(angle) / size, np.sin(angle) / size
        matrix = np.array([[cosine, -sine], [sine, cosine]])
        offset = centre - matrix @ (centre + random.uniform(-how.shift, how.shift, 2))
        for channel, plane in zip(picture, result, strict=True):
            affine_transform(channel, matrix, offset, output=plane, order=1, mode="nearest")
    return changed


def augmented_photographs(
    photos: Sequence[Pixels], size: tuple[int, int], fit: str, how: Training, random: np.random.Generator
) -> list[Pixels]:
    """Another look at each photograph: turned, cropped, mirrored, in other light.

    Args:
        photos: uint8 (H, W, 3), as they are on disk.
        size: (height, width) of the network's input.
        fit: how the model fits photographs; the crop is taken around that view.
        how: `rotate` in degrees, `zoom` and `shift` as shares of the view, `flip`, `colour` as a share of brightness,
            contrast and saturation, `border` the share of pictures whose surroundings get a random colour.
        random: where chance comes from.
    """
    return [_photograph(photo, size, fit, how, random) for photo in photos]


def _photograph(photo: Pixels, size: tuple[int, int], fit: str, how: Training, random: np.random.Generator) -> Pixels:
    photo = _not_larger(photo, LARGEST * max(size))
    surroundings = tuple(np.atleast_1d(border_colour(photo)).tolist())
    if random.random() < how.border:
        surroundings = _any_colour(random)
    angle = random.uniform(-how.rotate, how.rotate)
    height, width = photo.shape[:2]
    margin = int(0.75 * max(height, width))
    canvas = Image.new("RGB", (width + 2 * margin, height + 2 * margin), surroundings)
    turned = Image.fromarray(to_rgb(photo)).convert("RGBA")
    if angle:
        turned = turned.rotate(angle, Image.Resampling.BILINEAR)
    canvas.paste(turned, (margin, margin), turned)
    view = np.array(_view(height, width, size, fit)) * (1 + random.uniform(-how.zoom, how.zoom))
    stretch = np.sqrt(1 + random.uniform(-how.zoom, how.zoom) / 2)
    view = view * (stretch, 1 / stretch)
    middle = np.array([height, width]) / 2 + random.uniform(-how.shift, how.shift, 2) * view
    (top, left), (bottom, right) = middle - view / 2 + margin, middle + view / 2 + margin
    box = (max(left, 0), max(top, 0), min(right, canvas.width), min(bottom, canvas.height))
    seen = canvas.resize((size[1], size[0]), Image.Resampling.BICUBIC, box=box)
    pixels = np.asarray(seen)
    if how.flip and random.random() < 0.5:
        pixels = pixels[:, ::-1]
    return _recoloured(pixels, how.colour, random)


def _not_larger(photo: Pixels, side: int) -> Pixels:
    """The photograph, its longer side at most so long: the input shows no more, and changes of large ones cost much."""
    height, width = photo.shape[:2]
    factor = max(height, width) / side
    if factor <= 1:
        return photo
    smaller = (max(1, round(width / factor)), max(1, round(height / factor)))
    return np.asarray(Image.fromarray(photo).resize(smaller, Image.Resampling.BOX))


def _view(height: int, width: int, size: tuple[int, int], fit: str) -> tuple[float, float]:
    """Height and width of the part of a photograph that fills the input."""
    aspect = size[1] / size[0]
    if fit == "stretch":
        return height, width
    is_wide = width / height > aspect
    if is_wide == (fit == "crop"):
        return height, height * aspect
    return width / aspect, width


def _any_colour(random: np.random.Generator) -> tuple[int, ...]:
    """White, black or anything, one time in three each."""
    kind = random.integers(3)
    return tuple(random.integers(0, 256, 3).tolist()) if kind == 2 else (255 * int(kind),) * 3


def _recoloured(pixels: Pixels, most: float, random: np.random.Generator) -> Pixels:
    """Other brightness, contrast and saturation, each by at most the share `most`."""
    if not most:
        return np.ascontiguousarray(pixels)
    brightness, contrast, saturation = 1 + random.uniform(-most, most, 3)
    values = pixels.astype(np.float32)
    grey = values @ np.array([0.299, 0.587, 0.114], np.float32)
    values = grey[..., None] + (values - grey[..., None]) * np.float32(saturation)
    mean = np.float32(grey.mean())
    values = (mean + (values - mean) * np.float32(contrast)) * np.float32(brightness)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
