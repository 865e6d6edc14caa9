"""Explains every picture of a split into one HDF5 file, in constant memory, here or on several workers.

Layout: `id` (N,) text, `label`, `prediction` (N,) int64, `score` (N,) float32, `probability`, or `value` where the
network gives no probabilities, (N, classes) float32, `heatmap` (N, H, W) float32 or float16,
`channel_relevance/<layer>` (N, C) float32 (a `/` in a layer's name is `|`), chunked and compressed; `sentence` (N,)
text where it is asked for; attributes: model, fingerprint (of its files), dataset, split, pictures (fingerprint),
composite, precision, meaning (of the output), sentences (fingerprint of the explainer, or empty), threads, layout (of
the file), done (pictures written).

While it works, finished parts lie in `<file>.parts`; the file grows from them as `<file>.part`, and gets its name when
it is whole. However a run ends, the same command goes on with the parts that are there and comes to the same file.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from rationale.batch.cluster import client, compute
from rationale.batch.explain import explained, explained_elsewhere
from rationale.batch.parts import Parts, opened, threads_of
from rationale.cores import available_cores
from rationale.datasets import Split
from rationale.errors import OptionError, OutputError
from rationale.fetching import is_fetched
from rationale.lrp import Composite
from rationale.model import Model
from rationale.network import on_threads
from rationale.resources import printable

Report = Callable[[int, int], None]

PRECISIONS = ("float32", "float16")
LAYOUT = "2"  # another number for another layout of the file


def write_heatmaps(
    model: Model,
    split: Split,
    path: Path,
    composite: str | None = None,
    report: Report = lambda done, all_: None,
    *,
    precision: str = "float32",
    sentences: bool = False,
    threads: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Path:
    """Writes predictions, scores, heatmaps and channel relevance of a split to `path` and returns it.

    Args:
        model: the classifier.
        split: what is explained; with workers, of the model's own data set.
        path: the HDF5 file; one that the same run has written is left as it is.
        composite: how to propagate; the model's own way where None.
        report: called with the pictures done and their number.
        precision: of the heatmaps.
        sentences: also write what the model says of each picture; of a model with a trained explainer.
        threads: of each process; results are equal bit for bit for the same number. Where None, as many as the run
            that is gone on with had; else one with workers, and without as many as there are cores.
        workers: worker processes on this machine; none where None.
        scheduler: address of a Dask scheduler to use instead.

    Raises:
        OutputError: the file belongs to another run, is no HDF5 file, is in use, or cannot be written.
        RuleError: no composite has that name.
        ModelError: sentences are wanted of a model that has no trained explainer.
        OptionError: the precision is unknown, or the workers cannot be had.
    """
    if workers and scheduler:
        raise OptionError("--workers are for this machine, --scheduler names another cluster; give one of them")
    if precision not in PRECISIONS:
        raise OptionError(f"precision {precision!r} is unknown; there are {', '.join(PRECISIONS)}")
    rules = model.composite(composite)
    parts_folder = path.with_name(path.name + ".parts")
    count = threads or threads_of(parts_folder) or (1 if workers or scheduler else available_cores())
    run = {
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dataset": printable(model.description.dataset or ""),
        "split": split.name,
        "pictures": split.fingerprint(),
        "composite": rules.name,
        "precision": precision,
        "meaning": model.meaning,
        "sentences": model.explainer_fingerprint if sentences else "",
        "threads": str(count),
        "layout": LAYOUT,
    }
    asked = run if threads else {key: value for key, value in run.items() if key != "threads"}
    if _is_done(path, asked, len(split)):
        shutil.rmtree(parts_folder, ignore_errors=True)  # of a run that was killed after its last step but one
        report(len(split), len(split))
        return path
    _check_room(model, split, path, precision)
    try:
        with opened(parts_folder, len(split), part_size(model), run) as parts:
            missing = parts.missing()
            done = len(split) - sum(len(parts.rows(start)) for start in missing)
            if workers or scheduler:
                how = (composite, precision, sentences, count, model.gpu, model.description.files.stages)
                found = _on_workers(model, split, parts, missing, how, workers, scheduler)
            else:
                found = _here(model, split, parts, missing, rules, precision, sentences, count)
            with _Assembly(parts, path) as assembly:
                for start, arrays in found:
                    parts.write(start, arrays)
                    assembly.go_on()
                    done += len(parts.rows(start))
                    report(done, len(split))
                assembly.finish(run)
            parts.remove()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def part_size(model: Model) -> int:
    """Pictures explained together: as many as fit into a few hundred megabytes."""
    height, width = model.input_size
    return 100 if height * width <= 64 * 64 else 4


def _here(
    model: Model,
    split: Split,
    parts: Parts,
    missing: list[int],
    rules: Composite,
    precision: str,
    sentences: bool,
    threads: int,
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    with on_threads(threads):
        for start in missing:
            yield start, explained(model, split, parts.rows(start), rules, precision, sentences)


def _on_workers(
    model: Model,
    split: Split,
    parts: Parts,
    missing: list[int],
    how: tuple[str | None, str, bool, int, int | None, tuple[str, ...]],
    workers: int | None,
    scheduler: str | None,
) -> Iterator[tuple[int, dict[str, NDArray[Any]]]]:
    place, dataset = str(model.directory.resolve()), str(model.description.dataset)
    weights = model.description.files.weights
    known = str(weights) if is_fetched(weights) else str(weights.resolve())
    work = (place, known, model.fingerprint, dataset, split.name, split.fingerprint())
    tasks = [(start, (*work, list(parts.rows(start)), *how)) for start in missing]
    with client(workers, scheduler) as connected:
        yield from compute(connected, explained_elsewhere, tasks)


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

    def finish(self, run: dict[str, str]) -> None:
        """Appends the rest and puts the file in its place in one step."""
        self.go_on()
        with self._full_disk():
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
