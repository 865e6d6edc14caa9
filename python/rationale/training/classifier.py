"""Trains a model's classifier: deterministic by its seed, killed and resumed without changing the result."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Dataset, Split, check_classes, joined, load_dataset
from rationale.description import Training
from rationale.errors import ModelError, OutputError
from rationale.evaluation.classification import classify
from rationale.fetching import local_file
from rationale.fetching.digest import short_digest
from rationale.model import Model
from rationale.network import Network, Solver, on_threads
from rationale.resources import held, write_whole
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
    since: list[tuple[float, float]] = field(default_factory=list)  # (loss, share right) since the last entry
    run: dict[str, str] = field(default_factory=dict)  # what is trained, on what, and how


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
    same batches in the same order. The folder belongs to one training: of these definitions, pictures and seed.

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
        OutputError: the folder holds another training, a longer one, or one that is running.
    """
    files = model.description.files
    if files.solver is None or (dataset is None and model.description.dataset is None):
        raise ModelError(f"model {model.name!r}: training wants files.solver and dataset in its model.toml")
    pictures = dataset or load_dataset(str(model.description.dataset))
    train, val = pictures.split("train"), pictures.split("val")
    how = model.description.training
    if how.with_val:
        train = joined(train, val)
    check_classes(pictures, model.labels)
    with _folder_of_its_own(folder), on_threads(threads) if threads else nullcontext():
        solver = Solver.load(files.solver, folder, seed=seed, gpu=model.gpu)
        last = _last_update(solver, files.solver, iterations)
        run = {
            "definitions": solver.fingerprint(),
            "seed": str(solver.parameter.random_seed),
            "pictures": train.fingerprint(),
            "[training] in model.toml": _digest(how),
        }
        progress = _resume(solver, folder, run, last)
        if progress.snapshot is None and how.start is not None:
            solver.begin_with(local_file(how.start))
        checked = Network.load(files.classifier, gpu=model.gpu)
        solver.lend_weights(checked)
        _loop(model, solver, progress, last, train, val, checked, folder, report)
        weights = folder / "classifier.caffemodel"
        solver.save_weights(weights)
    return weights


def _digest(how: Training) -> str:
    named = replace(how, start=how.start and Path(Path(how.start).name))  # wherever it lies
    return short_digest(repr(named).encode())


@contextmanager
def _folder_of_its_own(folder: Path) -> Iterator[None]:
    with held(folder / "lock") as ours:
        if not ours:
            raise OutputError(f"{folder}: another process is training there; choose another --out")
        yield


def _last_update(solver: Solver, path: Path, iterations: int | None) -> int:
    end = solver.parameter.max_iter
    last = iterations or end
    if last < 1:
        raise ModelError(f"{path}: max_iter must be at least 1")
    if solver.parameter.lr_policy == "poly" and last > end:
        raise ModelError(f"{path}: its learning rate ends at update {end}, not at {last}")
    return int(last)


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
    started = time.monotonic() - progress.seconds
    try:
        while solver.iteration < last:
            solver.seed(seed + solver.iteration)  # dropout, too, depends on nothing but the seed and the iteration
            loss = solver.step(training_batch(model, train, solver, seed))
            progress.since.append((loss, solver.batch_accuracy()))
            now = progress.iteration = solver.iteration
            progress.seconds = time.monotonic() - started
            if now % min(100, check) == 0 or now == last:
                loss, right = np.mean(progress.since, axis=0)
                progress.loss.append((now, float(loss)))
                progress.learnt.append((now, float(right)))
                progress.since.clear()
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
    write_whole(folder / "progress.json", json.dumps(asdict(progress)))
    if before is not None and before != progress.snapshot:
        for suffix in (".solverstate", ".caffemodel"):
            (folder / before).with_suffix(suffix).unlink(missing_ok=True)


def _resume(solver: Solver, folder: Path, run: dict[str, str], last: int) -> Progress:
    path = folder / "progress.json"
    if not path.exists():
        return Progress(run=run)
    try:
        progress = Progress(**json.loads(path.read_text(encoding="utf-8")))
        state = folder / str(progress.snapshot)
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); remove it to start anew") from error
    if not state.is_file() or not state.with_suffix(".caffemodel").is_file():
        raise OutputError(f"{path}: its snapshot {state.name} is gone; remove progress.json to start anew")
    if other := [name for name, value in run.items() if progress.run.get(name) != value]:
        raise OutputError(f"{folder}: holds another training ({' and '.join(other)} differ); choose another --out")
    if progress.iteration > last:
        raise OutputError(f"{folder}: holds a training of {progress.iteration} updates already, not {last}")
    solver.restore(state)
    return progress
