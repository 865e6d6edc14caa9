"""Trains a model's classifier: deterministic by its seed, killed and resumed without changing the result."""

import json
import os
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Dataset, Split, joined, load_dataset
from rationale.errors import ModelError, OutputError
from rationale.evaluation.classification import classify
from rationale.fetching import local_file
from rationale.model import Model
from rationale.network import Network, Solver, on_threads
from rationale.training.augment import augment, augmented_photographs

CHECK_EVERY = 1000  # updates between accuracies on the validation split, where the solver names no test_interval


@dataclass
class Progress:
    """What has been done so far; kept in progress.json beside the snapshot that it belongs to."""

    iteration: int = 0
    snapshot: str | None = None
    loss: list[tuple[int, float]] = field(default_factory=list)  # (iteration, mean loss since the last entry)
    learnt: list[tuple[int, float]] = field(default_factory=list)  # (iteration, share of the batches since then right)
    accuracy: list[tuple[int, float]] = field(default_factory=list)  # (iteration, share right on `val`)
    seconds: float = 0.0


Report = Callable[[Progress, int], None]


def train_classifier(
    model: Model,
    folder: Path,
    report: Report = lambda progress, last: None,
    *,
    iterations: int | None = None,
    dataset: Dataset | None = None,
    seed: int | None = None,
    threads: int | None = None,
) -> Path:
    """Trains on a data set, the model's own unless another is given, and returns the path of the weights.

    Goes on from the last snapshot in `folder`, if there is one; an interrupted run and an uninterrupted one see the
    same batches in the same order.

    Args:
        model: what to train; its solver.prototxt says how.
        folder: where snapshots, progress.json and classifier.caffemodel go.
        report: called after every tenth update with the progress and the number of the last update.
        iterations: stop after so many updates, instead of the solver's max_iter.
        dataset: what to train on instead of the model's own data set.
        seed: of new weights, of the order of the pictures, and of their changes; the solver's own where None.
        threads: of Caffe's layers and BLAS; the weights are the same bit for bit only on the same number. None: all.

    Raises:
        ModelError: the model names no solver or data set, or its learning rate has an end before `iterations`.
        NetworkError: the networks are wrong, or a snapshot is damaged.
    """
    files = model.description.files
    if files.solver is None or (dataset is None and model.description.dataset is None):
        raise ModelError(f"model {model.name!r}: training wants files.solver and dataset in its model.toml")
    pictures = dataset or load_dataset(str(model.description.dataset))
    train, val = pictures.split("train"), pictures.split("val")
    how = model.description.training
    if how.with_val:
        train = joined(train, val)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror})") from error
    solver = Solver.load(files.solver, folder, seed=seed, gpu=model.gpu)
    progress = _resume(solver, folder)
    if progress.snapshot is None and how.start is not None:
        solver.begin_with(local_file(how.start))
    last = iterations or solver.parameter.max_iter
    if last < 1:
        raise ModelError(f"{files.solver}: max_iter must be at least 1")
    if solver.parameter.lr_policy == "poly" and last > solver.parameter.max_iter:
        raise ModelError(f"{files.solver}: its learning rate ends at update {solver.parameter.max_iter}, not at {last}")
    checked = Network.load(files.classifier, gpu=model.gpu)
    solver.lend_weights(checked)
    with on_threads(threads) if threads else nullcontext():
        _loop(model, solver, progress, last, train, val, checked, folder, report)
    weights = folder / "classifier.caffemodel"
    solver.save_weights(weights)
    return weights


def _loop(
    model: Model,
    solver: Solver,
    progress: Progress,
    last: int,
    train: Split,
    val: Split,
    checked: Network,
    folder: Path,
    report: Report,
) -> None:
    """Updates until `last`, with losses, accuracies and snapshots on the way."""
    seed = int(solver.parameter.random_seed) if solver.parameter.random_seed >= 0 else 0
    every = solver.parameter.snapshot or last
    check = solver.parameter.test_interval or CHECK_EVERY
    losses: list[float] = []
    right: list[float] = []
    started = time.monotonic() - progress.seconds
    try:
        while solver.iteration < last:
            solver.seed(seed + solver.iteration)  # dropout, too, depends on nothing but the seed and the iteration
            losses.append(solver.step(training_batch(model, train, solver, seed)))
            right.append(solver.batch_accuracy())
            now = progress.iteration = solver.iteration
            progress.seconds = time.monotonic() - started
            if now % min(100, check) == 0 or now == last:
                progress.loss.append((now, float(np.mean(losses))))
                progress.learnt.append((now, float(np.mean(right))))
                losses.clear()
                right.clear()
            if (now % check == 0 or now == last) and not model.description.training.with_val:
                progress.accuracy.append((now, classify(model, checked, val).accuracy()))
            if now % every == 0 or now == last:
                _save(solver, progress, folder)
            if now % 10 == 0 or now == last:
                report(progress, last)
    except KeyboardInterrupt:
        progress.iteration = solver.iteration
        _save(solver, progress, folder)
        raise


def training_batch(model: Model, train: Split, solver: Solver, seed: int) -> dict[str, np.ndarray]:
    """The batch of the solver's present iteration; depends on nothing but the seed and the iteration."""
    how = model.description.training
    classes = tuple(train.labels.tolist()) if how.balance else ()
    size = solver.batch_size()
    count = len(_order(seed, 0, len(train), classes))
    places = np.arange(solver.iteration * size, (solver.iteration + 1) * size)
    rows = np.array([_order(seed, int(place // count), len(train), classes)[place % count] for place in places])
    random = np.random.default_rng((seed, 1, solver.iteration))
    photos = [train.images[row] for row in rows]
    if how.photographs:
        photos = augmented_photographs(photos, model.input_size, model.description.input.fit, how, random)
    else:
        photos = [model.view(photo) for photo in photos]
    return {
        "data": augment(model.preprocess(photos), how, random),
        "label": train.labels[rows].astype(np.float32),
    }


@lru_cache(maxsize=3)
def _order(seed: int, epoch: int, count: int, classes: tuple[int, ...] = ()) -> NDArray[np.int64]:
    """The order in which an epoch goes through the pictures; with their classes, through each class equally often."""
    random = np.random.default_rng((seed, epoch))
    if not classes:
        return random.permutation(count)
    labels = np.array(classes)
    most = int(np.bincount(labels).max())
    rows = [np.resize(random.permutation(np.flatnonzero(labels == label)), most) for label in np.unique(labels)]
    return random.permutation(np.concatenate(rows))


def _save(solver: Solver, progress: Progress, folder: Path) -> None:
    """Takes a snapshot; progress.json, replaced in one step, is what makes it count."""
    before = progress.snapshot
    progress.snapshot = solver.snapshot().name
    partial = folder / "progress.json.part"
    partial.write_text(json.dumps(asdict(progress)), encoding="utf-8")
    os.replace(partial, folder / "progress.json")
    if before is not None and before != progress.snapshot:
        for suffix in (".solverstate", ".caffemodel"):
            (folder / before).with_suffix(suffix).unlink(missing_ok=True)


def _resume(solver: Solver, folder: Path) -> Progress:
    path = folder / "progress.json"
    if not path.exists():
        return Progress()
    try:
        progress = Progress(**json.loads(path.read_text(encoding="utf-8")))
        state = folder / str(progress.snapshot)
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); remove it to start anew") from error
    if not state.is_file() or not state.with_suffix(".caffemodel").is_file():
        raise OutputError(f"{path}: its snapshot {state.name} is gone; remove progress.json to start anew")
    solver.restore(state)
    return progress
