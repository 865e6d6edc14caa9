"""Explains every picture of a split into one HDF5 file, in constant memory, here or on several workers.

Layout: `id` (N,) text, `true_class`, `prediction` (N,) int64, `score` (N,) float32, `probability`, or `value` where the
network gives no probabilities, (N, classes) float32, `heatmap` (N, H, W) float32 or float16,
`channel_relevance/<layer>` (N, C) float32 (a `/` in a layer's name is `|`), chunked and compressed; `sentence` (N,)
text where it is asked for; `classes` (classes,) text, their names; attributes: model, fingerprint (of its files),
dataset, split, pictures (fingerprint), composite, precision, meaning (of the output), sentences (fingerprint of the
explainer, or empty), threads, layout (of the file), done (pictures written).

While it works, finished parts lie in `<file>.parts`; the file grows from them as `<file>.part`, and gets its name when
it is whole. However a run ends, the same command goes on with the parts that are there and comes to the same file.
"""

import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from rationale.batch.job import ALONE, Crew, Job, Report
from rationale.batch.parts import Parts
from rationale.batch.worker import Arrays
from rationale.datasets import Split
from rationale.errors import OptionError, OutputError
from rationale.explanation import hdf5_name
from rationale.model import Model
from rationale.resources import printable

PRECISIONS = ("float32", "float16")
LAYOUT = "3"  # another number for another layout of the file


@dataclass(frozen=True)
class Heatmaps:
    """What is kept of each picture; attributes as the arguments of `write_heatmaps`."""

    composite: str | None = None
    precision: str = "float32"
    sentences: bool = False

    def __call__(self, model: Model, split: Split, rows: Sequence[int]) -> Arrays:
        """Everything of these pictures, by its name in the file."""
        views = [model.view(split.images[row]) for row in rows]
        relevance = model.relevance(views, composite=self.composite)
        (input_name,) = model.network.inputs
        outcome = model.outcome()
        found: Arrays = {
            "id": np.array([split.ids[row] for row in rows]),
            "true_class": np.array([split.labels[row] for row in rows], np.int64),
            "prediction": relevance.targets,
            "score": relevance.scores,
            "value" if outcome.meaning == "values" else "probability": outcome.numbers.astype(np.float32),
            "heatmap": relevance[input_name].sum(axis=1).astype(self.precision),
        }
        if self.sentences:
            found["sentence"] = np.array([said[0].text if said else "" for said in model.sentences(relevance, 1)])
        for entry in relevance.ledger:
            if entry.layer in relevance:
                found[f"channel_relevance/{hdf5_name(entry.layer)}"] = relevance.channels(entry.layer)
        return found


def write_heatmaps(
    model: Model,
    split: Split,
    path: Path,
    composite: str | None = None,
    report: Report = lambda done, all_: None,
    *,
    precision: str = "float32",
    sentences: bool = False,
    crew: Crew = ALONE,
) -> Path:
    """Writes predictions, scores, heatmaps and channel relevance of a split to `path` and returns it.

    Args:
        model: the classifier.
        split: what is explained; with workers, of the model's own data set, or of a plain folder (`loose_pictures`).
        path: the HDF5 file; one that the same run has written is left as it is.
        composite: how to propagate; the model's own way where None.
        report: called with the pictures done and their number.
        precision: of the heatmaps.
        sentences: also write what the model says of each picture; of a model with a trained explainer.
        crew: who does it, on how many threads.

    Raises:
        OutputError: the file belongs to another run, is no HDF5 file, is in use, or cannot be written.
        RuleError: no composite has that name.
        ModelError: sentences are wanted of a model that has no trained explainer.
        OptionError: the precision is unknown, or the workers cannot be had.
    """
    if precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r} is unknown; there are {', '.join(PRECISIONS)}")
    parts_folder = path.with_name(path.name + ".parts")
    run = {
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dataset": printable(str(split.folder or model.description.dataset or "")),
        "split": split.name,
        "pictures": split.fingerprint(),
        "composite": model.composite(composite).name,
        "precision": precision,
        "meaning": model.meaning,
        "sentences": model.explainer_fingerprint if sentences else "",
        "threads": str(crew.threads_for(parts_folder)),
        "layout": LAYOUT,
    }
    asked = run if crew.threads else {key: value for key, value in run.items() if key != "threads"}
    if _is_done(path, asked, len(split)):
        shutil.rmtree(parts_folder, ignore_errors=True)  # of a run that was killed after its last step but one
        report(len(split), len(split))
        return path
    _check_room(model, split, path, precision)
    job = Job(model, split, Heatmaps(composite, precision, sentences), parts_folder, run, crew)
    try:
        with job.begun(report) as (parts, done), _Assembly(parts, path) as assembly:
            for _ in done:
                assembly.go_on()
            assembly.finish(run, model.labels)
            parts.remove()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def _is_done(path: Path, run: dict[str, str], total: int) -> bool:
    """Whether the file is there, whole and of this run.

    Raises:
        OutputError: what is there is something else.
    """
    if not path.exists():
        return False
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; name a file")
    if not h5py.is_hdf5(path):
        raise OutputError(f"{path}: is no HDF5 file; choose another --out")
    try:
        file = h5py.File(path)
    except OSError as error:
        raise OutputError(f"{path}: is damaged ({error}); remove it") from error
    with file:
        if not {"model", "done"} <= set(file.attrs):
            raise OutputError(f"{path}: was not written by this command; choose another --out")
        for key, value in run.items():
            if file.attrs.get(key) != value:
                raise OutputError(
                    f"{path}: holds another run ({key} {file.attrs.get(key)!r}, not {value!r}); choose another --out"
                )
        return int(file.attrs["done"]) == total


def _check_room(model: Model, split: Split, path: Path, precision: str) -> None:
    """Refuses what would only fail half-way."""
    height, width = model.input_size
    needed = 2 * len(split) * height * width * np.dtype(precision).itemsize  # the parts, and the file made of them
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    if free < needed:
        raise OutputError(f"{path}: wants up to {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free there")


class _Assembly:
    """Makes the file of the parts, in order, as they come; only a finished one gets its name."""

    def __init__(self, parts: Parts, path: Path) -> None:
        self._parts = parts
        self._path = path
        self._partial = path.with_name(path.name + ".part")
        self._waiting = deque(parts.starts)

    def __enter__(self) -> Self:
        self._file = h5py.File(self._partial, "w")
        return self

    def __exit__(self, *_: object) -> None:
        with self._full_disk():
            self._file.close()
        self._partial.unlink(missing_ok=True)

    def go_on(self) -> None:
        """Appends every part that is there and whose turn it is."""
        with self._full_disk():
            while self._waiting and self._parts.has(self._waiting[0]):
                start = self._waiting.popleft()
                rows = self._parts.rows(start)
                for name, values in self._parts.read(start).items():
                    data = self._file[name] if name in self._file else self._created(name, values)
                    data[rows.start : rows.stop] = values.astype(object) if values.dtype.kind == "U" else values

    def finish(self, run: dict[str, str], classes: Sequence[str]) -> None:
        """Appends the rest and puts the file in its place in one step."""
        self.go_on()
        with self._full_disk():
            names = [printable(each) for each in classes]
            self._file.create_dataset("classes", data=names, dtype=h5py.string_dtype())
            self._file.attrs.update({**run, "done": self._parts.total})
            self._file.close()
        os.replace(self._partial, self._path)

    def _created(self, name: str, values: NDArray[Any]) -> h5py.Dataset:
        """Room for all pictures; a part is a chunk."""
        total = self._parts.total
        chunks = (min(self._parts.size, total), *values.shape[1:])
        kind = h5py.string_dtype() if values.dtype.kind == "U" else values.dtype
        return self._file.create_dataset(name, (total, *values.shape[1:]), kind, chunks=chunks, compression="lzf")

    @contextmanager
    def _full_disk(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:  # what h5py makes of it
            raise OutputError(f"{self._path}: cannot be written ({error})") from error
