"""Explains every picture of a split into one HDF5 file, in constant memory, and goes on where it was interrupted.

Layout: `id` (N,) text, `label`, `prediction` (N,) int64, `score` (N,) float32, `heatmap` (N, H, W) float32,
`channel_relevance/<layer>` (N, C) float32; attributes: model, fingerprint (of its files), dataset, split, composite,
done (pictures written).
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from rationale.datasets import Split
from rationale.errors import OutputError
from rationale.lrp import Composite, propagate
from rationale.model import Model

BATCH = 100

Report = Callable[[int, int], None]


def write_heatmaps(
    model: Model, split: Split, path: Path, composite: str | None = None, report: Report = lambda done, all_: None
) -> Path:
    """Writes predictions, scores, heatmaps and channel relevance of a split to `path` and returns it.

    A file of the same run is continued; `report` is called with the pictures done and their number.

    Raises:
        OutputError: the file belongs to another run, is no HDF5 file, is in use, or cannot be written.
        RuleError: no composite has that name.
    """
    rules = model.composite(composite)
    run = {
        "model": model.name,
        "fingerprint": model.fingerprint,
        "dataset": model.description.dataset or "",
        "split": split.name,
        "composite": rules.name,
    }
    _check_place(model, split, path)
    try:
        with h5py.File(path, "a") as file:
            _check_run(file, run, path)
            file.attrs.update(run)
            for start in range(int(file.attrs.get("done", 0)), len(split), BATCH):
                rows = np.arange(start, min(start + BATCH, len(split)))
                _append(file, model, split, rows, rules)
                file.attrs["done"] = int(rows[-1]) + 1
                file.flush()
                report(int(rows[-1]) + 1, len(split))
    except BlockingIOError as error:
        raise OutputError(f"{path}: another process is writing it") from error
    except (OSError, RuntimeError) as error:
        raise OutputError(f"{path}: cannot be written ({error})") from error
    return path


def _check_place(model: Model, split: Split, path: Path) -> None:
    """Refuses what HDF5 would only fail on half-way, or crash."""
    height, width = model.input_size
    needed = len(split) * height * width * 4
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise OutputError(f"{path}: is a directory; name a file")
        if path.exists() and not h5py.is_hdf5(path):
            raise OutputError(f"{path}: is no HDF5 file; choose another --out")
        free = shutil.disk_usage(path.parent).free + (path.stat().st_size if path.exists() else 0)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    if free < needed:
        raise OutputError(f"{path}: wants up to {needed / 1e6:.0f} MB, but only {free / 1e6:.0f} MB are free there")


def _check_run(file: h5py.File, run: dict[str, str], path: Path) -> None:
    for key, value in run.items():
        if file.attrs.get(key, value) != value:
            raise OutputError(
                f"{path}: holds another run ({key} {file.attrs[key]!r}, not {value!r}); choose another --out"
            )
    if len(file) and "model" not in file.attrs:
        raise OutputError(f"{path}: was not written by this command; choose another --out")


def _append(file: h5py.File, model: Model, split: Split, rows: np.ndarray, composite: Composite) -> None:
    views = [model.view(split.images[row]) for row in rows]
    target_layer = model.description.output.target_layer
    relevance = propagate(
        model.network,
        model.preprocess(views),
        composite=composite,
        bounds=model.bounds,
        target_layer=target_layer,
    )
    (input_name,) = model.network.inputs
    ids = np.array([split.ids[row] for row in rows], dtype=h5py.string_dtype())
    _extend(file, "id", ids, rows)
    _extend(file, "label", split.labels[rows], rows)
    _extend(file, "prediction", relevance.targets, rows)
    _extend(file, "score", relevance.scores, rows)
    _extend(file, "heatmap", relevance[input_name].sum(axis=1), rows)
    for entry in relevance.ledger:
        if entry.layer in relevance:
            _extend(file, f"channel_relevance/{entry.layer}", relevance.channels(entry.layer), rows)


def _extend(file: h5py.File, name: str, values: np.ndarray, rows: np.ndarray) -> None:
    """Writes `values` at `rows`, making or growing the data set."""
    if name not in file:
        shape = (None, *values.shape[1:])
        chunks = (BATCH, *values.shape[1:])
        file.create_dataset(
            name, (0, *values.shape[1:]), values.dtype, maxshape=shape, chunks=chunks, compression="lzf"
        )
    file[name].resize(int(rows[-1]) + 1, axis=0)
    file[name][rows[0] :] = values
