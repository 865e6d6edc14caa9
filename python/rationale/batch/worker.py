"""Work over pictures by names that can be sent anywhere: what a process of its own loads, and one part of it.

For the workers of a Dask cluster and for those behind the live page: whoever computes in another process says by a
`Duty` which model that process loads and how it works, and need send no network.
"""

import functools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from rationale.datasets import Split, load_dataset, loose_pictures, split_of
from rationale.errors import OptionError
from rationale.fetching import is_fetched
from rationale.model import Model
from rationale.network import on_threads

Arrays = dict[str, NDArray[Any]]
Work = Callable[[Model, Split, Sequence[int]], Arrays]  # what is kept of these pictures, by name; to be sent: picklable

_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True)
class Duty:
    """Which model a process loads, and how it works.

    Attributes:
        model: name or directory.
        weights: other weights than the model's own, or None.
        stages: of the definitions.
        gpu: number of the card, or None.
        threads: of Caffe's layers and BLAS.
        fingerprint: of the model's files, which must be the same there; empty where any will do.
    """

    model: str
    weights: str | None = None
    stages: tuple[str, ...] = ()
    gpu: int | None = None
    threads: int = 1
    fingerprint: str = ""

    @classmethod
    def like(cls, model: Model, threads: int) -> "Duty":
        """For a process that does what this one would with a loaded model."""
        weights = model.description.files.weights
        known = str(weights) if is_fetched(weights) else str(weights.resolve())
        place, stages = str(model.directory.resolve()), model.description.files.stages
        return cls(place, known, stages, model.gpu, threads, model.fingerprint)

    def load(self) -> Model:
        """The model.

        Raises:
            ModelError, NetworkError: it cannot be loaded.
            OptionError: its files are others than were meant.
        """
        found = Model.load(self.model, weights=self.weights, gpu=self.gpu, stages=self.stages)
        if self.fingerprint and found.fingerprint != self.fingerprint:
            raise OptionError(f"a worker has another model or other pictures at {self.model}")
        return found


@dataclass(frozen=True)
class Pictures:
    """A split by its names: of which data set, and the fingerprint that it must have; or a directory of pictures."""

    dataset: str
    split: str
    fingerprint: str
    folder: str = ""

    @classmethod
    def like(cls, model: Model, split: Split) -> "Pictures":
        """A split of the model's own data set, or one that is a directory of its own."""
        folder = str(split.folder.resolve()) if split.folder is not None else ""
        return cls(str(model.description.dataset), split.name, split.fingerprint(), folder)

    def load(self) -> Split:
        """The split.

        Raises:
            DataError: it is not there.
            OptionError: its pictures are others than were meant.
        """
        of_folder = loose_pictures(Path(self.folder)) if self.folder else None
        found = of_folder or split_of(load_dataset(self.dataset), self.split)
        if found.fingerprint() != self.fingerprint:
            raise OptionError(f"a worker has another model or other pictures at {self.folder or self.dataset!r}")
        return found


def work_elsewhere(duty: Duty, pictures: Pictures, work: Work, rows: Sequence[int]) -> Arrays:
    """One part of the work, in a process that loads model and pictures once and does one part at a time.

    Raises:
        OptionError: its files are not those of who asks.
    """
    with _ONE_AT_A_TIME:  # a network has one set of blobs, however many threads its process has
        model, split = _loaded(duty, pictures)
        with on_threads(duty.threads):
            return work(model, split, rows)


@functools.lru_cache(maxsize=1)
def _loaded(duty: Duty, pictures: Pictures) -> tuple[Model, Split]:
    return duty.load(), pictures.load()
