"""MNIST: 70,000 handwritten digits in the customary split of 50,000, 10,000 and 10,000."""

import gzip
import io
import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.datasets.dataset import OnDemand, Split
from rationale.datasets.strokes import MEASURED_AS, Strokes, measure_strokes
from rationale.errors import DataError
from rationale.fetching import derived_folder, fetched

COUNT = 70_000
SPOKEN_OF = {"train": 4_000, "val": 500, "test": 1_000}
SPLITS = {"train": (0, 50_000), "val": (50_000, 60_000), "test": (60_000, 70_000)}


class Mnist:
    """The digits as uint8 (28, 28), white on black; fetched at first use."""

    name = "mnist"
    classes = tuple("0123456789")

    def __init__(self) -> None:
        images, labels = _prepared()
        self._images: Any = images
        self._labels = labels

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        if name not in SPLITS:
            raise DataError(f"mnist has no split {name!r}; it has {', '.join(SPLITS)}")
        start, stop = SPLITS[name]
        ids = [f"{name}/{number:05d}" for number in range(stop - start)]
        images = self._images[start:stop]
        return Split(name, ids, images, self._labels[start:stop].astype(np.int64), OnDemand(images, _ink))


class Digits(Mnist):
    """The first digits of each split, with the strokes that were measured in them, on demand: to be spoken of."""

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        whole = super().split(name)
        count = SPOKEN_OF[name]
        strokes = OnDemand(range(count), _Measured(whole.images))
        return Split(
            whole.name,
            whole.ids[:count],
            whole.images[:count],
            whole.labels[:count],
            OnDemand(whole.images[:count], _ink),
            parts=OnDemand(strokes, lambda found: found.parts),
            attributes=OnDemand(strokes, lambda found: found.attributes),
            annotated=f"strokes {MEASURED_AS}",
        )


class _Measured:
    """Strokes of digits, each measured once."""

    def __init__(self, images: Sequence[NDArray[np.uint8]]) -> None:
        self._images = images
        self._known: dict[int, Strokes] = {}

    def __call__(self, row: int) -> Strokes:
        if row not in self._known:
            self._known[row] = measure_strokes(np.asarray(self._images[row]))
        return self._known[row]


def _ink(digit: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the pen went."""
    return digit > 0


def _prepared() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images (70000, 28, 28) and labels (70000,), read from arrays that are made, once, from what was fetched."""
    source = fetched("mnist")
    folder = derived_folder("mnist")
    known = _read(folder)
    if known is None:
        images, labels = _unpack((source / "mnist.pkl.gz").read_bytes())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _save(folder / "images.npy", images)
            _save(folder / "labels.npy", labels)
        except OSError as error:
            raise DataError(f"{folder}: cannot be written ({error.strerror or error})") from error
        known = _read(folder)
    if known is None:
        raise DataError(f"{folder}: cannot be read; remove it")
    return known


def _read(folder: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
    """The arrays, unless one of them is missing or damaged."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r")
        labels = np.load(folder / "labels.npy")
    except (OSError, ValueError, EOFError):
        return None
    whole = images.shape == (COUNT, 28, 28) and labels.shape == (COUNT,) and images.dtype == labels.dtype == np.uint8
    return (images, labels) if whole else None


def _save(path: Path, array: NDArray[np.uint8]) -> None:
    partial = path.with_suffix(f".{os.getpid()}.part")
    with open(partial, "wb") as file:
        np.save(file, array)
    os.replace(partial, path)


def _unpack(compressed: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    splits = _ArraysOnly(io.BytesIO(gzip.decompress(compressed)), encoding="latin1").load()
    images = np.concatenate([np.asarray(pictures, np.float32) for pictures, _ in splits])
    labels = np.concatenate([np.asarray(classes) for _, classes in splits])
    # The package holds grey levels divided by 256, which float32 represents exactly.
    return (images * 256).astype(np.uint8).reshape(-1, 28, 28), labels.astype(np.uint8)


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays and nothing else, whatever the (verified) file may say."""

    _ALLOWED = {  # noqa: RUF012
        ("numpy.core.multiarray", "_reconstruct"): ("numpy._core.multiarray", "_reconstruct"),
        ("numpy", "dtype"): ("numpy", "dtype"),
        ("numpy", "ndarray"): ("numpy", "ndarray"),
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self._ALLOWED:
            raise DataError(f"mnist: the file wants {module_name}.{global_name}, which is not an array")
        return super().find_class(*self._ALLOWED[module_name, global_name])
