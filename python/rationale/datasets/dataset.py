"""The interface that every data set offers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from rationale.errors import ModelError
from rationale.fetching.digest import short_digest

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Source = TypeVar("Source")
Result = TypeVar("Result")


class OnDemand(Sequence[Result], Generic[Source, Result]):
    """What a function makes of each entry of a sequence, made when it is asked for."""

    def __init__(self, sources: Sequence[Source], make: Callable[[Source], Result]) -> None:
        self._sources = sources
        self._make = make

    def __len__(self) -> int:
        return len(self._sources)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """One result, or the same for a slice of the sources."""
        if isinstance(index, slice):
            return OnDemand(self._sources[index], self._make)
        return self._make(self._sources[index])


@dataclass(frozen=True)
class Split:
    """Part of a data set; all sequences are as long as `ids`, and what a data set does not know is None.

    Attributes:
        name: `train`, `val` or `test`.
        ids: one for each picture.
        images: uint8 (H, W) or (H, W, 3), on demand.
        labels: class numbers, int64 (N,).
        objects: bool (H, W), where the thing is.
        parts: bool (H, W) of each visible part, by the part's name.
        attributes: value by attribute; words, or a strength from 0 to 1.
        captions: what people wrote about the picture.
        files: the picture's file, where it is one.
        version: changes when the pictures do, where ids and labels alone do not tell: in people's own folders.
        annotated: changes when parts or attributes do; empty where they never do.
        folder: the directory that the split is, where it is no part of a data set.
    """

    name: str
    ids: Sequence[str]
    images: Sequence[Pixels]
    labels: NDArray[np.int64]
    objects: Sequence[Mask] | None = None
    parts: Sequence[Mapping[str, Mask]] | None = None
    attributes: Sequence[Mapping[str, str | float]] | None = None
    captions: Sequence[Sequence[str]] | None = None
    files: Sequence[Path] | None = None
    version: str = ""
    annotated: str = ""
    folder: Path | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def fingerprint(self) -> str:
        """Twelve digits of a SHA-256 over ids, labels and version: work on one split is not gone on with on another."""
        names = "\0".join([self.name, self.version, *self.ids])
        return short_digest(names.encode() + np.asarray(self.labels, "<i8").tobytes())


def joined(one: Split, other: Split) -> Split:
    """Both splits, one after the other, with pictures and labels only."""

    def picture(row: int) -> Pixels:
        return one.images[row] if row < len(one) else other.images[row - len(one)]

    return Split(
        f"{one.name}+{other.name}",
        [*one.ids, *other.ids],
        OnDemand(range(len(one) + len(other)), picture),
        np.concatenate([one.labels, other.labels]),
        version=one.version + other.version,
    )


def check_classes(dataset: "Dataset", labels: Sequence[str]) -> None:
    """Refuses a model whose labels are not the classes of its data set, in their order.

    Raises:
        ModelError: they are not.
    """
    if tuple(labels) != dataset.classes:
        shown = [", ".join(each[:6]) + (" …" if len(each) > 6 else "") for each in (tuple(labels), dataset.classes)]
        raise ModelError(f"the model's labels are {shown[0]}; its data set {dataset.name!r} has {shown[1]}")


class Dataset(Protocol):
    """A data set with fixed splits."""

    name: str
    classes: tuple[str, ...]

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`.

        Raises:
            DataError: no such split.
        """
        ...
