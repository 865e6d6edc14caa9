"""A few pictures of a model's own data set, for the strip under the picture; never fetched, only what is at hand."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from rationale.datasets import DATASETS, dataset_of
from rationale.errors import RationaleError
from rationale.fetching import is_at_hand
from rationale.images import Pixels
from rationale.model import Model

COUNT = 12
_LONGEST = 640  # pixels; what a strip's picture is sent with at most
_DIGITS = Path(__file__).with_name("digits.png")  # twelve of MNIST's test digits, 28 × 28, side by side
_DIGIT_LABELS = "012345678901"


@dataclass(frozen=True)
class Example:
    """One picture of the strip: its name in its data set, its true class, and a PNG or JPEG file."""

    name: str
    label: str
    content: bytes
    media_type: str


@cache
def examples_of(place: str) -> Sequence[Example]:
    """Test pictures of the model at this place, its classes in turn; none where its data set is not at hand."""
    model = Model.load(place)
    name = model.description.dataset
    if name is None:
        return ()
    try:
        if name in DATASETS and not is_at_hand(name):
            return shipped_digits() if name == "mnist" else ()
        split = dataset_of(model).split("test")
        rows = _in_turn(np.asarray(split.labels), COUNT)
        return [_example(split.ids[row], model.labels[split.labels[row]], split.images[row]) for row in rows]
    except RationaleError:
        return shipped_digits() if name == "mnist" else ()


def shipped_digits() -> Sequence[Example]:
    """The digits that come with this package."""
    with Image.open(_DIGITS) as strip:
        digits = np.asarray(strip.convert("L"))
    return [
        _example(f"digit {number + 1}", label, digits[:, 28 * number : 28 * number + 28])
        for number, label in enumerate(_DIGIT_LABELS)
    ]


def _in_turn(labels: np.ndarray, count: int) -> list[int]:
    """The first picture of each class, then the second of each, and so on."""
    order = np.argsort(labels, kind="stable")
    rank = np.empty(len(labels), np.int64)
    rank[order] = np.concatenate([np.arange(size) for size in np.bincount(labels) if size])
    return [int(row) for row in np.lexsort((labels, rank))[:count]]


def _example(name: str, label: str, pixels: Pixels) -> Example:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_LONGEST, _LONGEST))
    content = io.BytesIO()
    small = max(image.size) <= 64
    image.save(content, "PNG" if small else "JPEG", quality=92)
    return Example(name, label, content.getvalue(), "image/png" if small else "image/jpeg")
