"""Trains a model's classifier: deterministic by its seed, killed and resumed without changing the result."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Dataset, Split, check_classes, dataset_of, joined
from rationale.description import Training
from rationale.errors import ModelError
from rationale.evaluation.classification import classify
from rationale.fetching import local_file
from rationale.fetching.digest import short_digest
from rationale.model import Model
from rationale.network import Network, Solver, on_threads
from rationale.training.augment import augment, augmented_photographs
from rationale.training.averaging import Average
from rationale.training.interrupts import let_interrupts_in
from rationale.training.loop import Progress, Report, folder_of_its_own, last_update, run, seed_of

LEARNT, VALIDATION = "accuracy, training batches with what augments them", "accuracy, validation split"  # curves


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
    pictures = dataset or dataset_of(model)
    train, val = pictures.split("train"), pictures.split("val")
    how = model.description.training
    if how.with_val:
        train = joined(train, val)
    check_classes(pictures, model.labels)
    with folder_of_its_own(folder), on_threads(threads) if threads else nullcontext():
        solver = Solver.load(files.solver, folder, seed=seed, gpu=model.gpu)
        last = last_update(solver, files.solver, iterations)
        identity = {
            "definitions": solver.fingerprint(),
            "seed": str(solver.parameter.random_seed),
            "pictures": train.fingerprint(),
            "[training] in model.toml": _digest(how),
        }
        average = Average(last - round(how.average * last) + 1) if how.average else None
        if average is not None:
            identity["averaged updates"] = f"from {average.first}"
        checked = Network.load(files.classifier, gpu=model.gpu, stages=files.stages, fold=False)
        solver.lend_weights(checked)

        def begin() -> None:
            if how.start is not None:
                solver.begin_with(local_file(how.start))

        def check(progress: Progress) -> None:
            if how.with_val:
                return
            with average.instead(solver) if average else nullcontext():
                found = classify(model, checked, val, lambda done, total: let_interrupts_in())
            progress.add(VALIDATION, found.accuracy())

        def update(iteration: int) -> dict[str, float]:
            loss = solver.step(training_batch(model, train, solver, seed_of(solver)))
            return {"loss": loss, LEARNT: solver.batch_accuracy()}

        run(
            solver,
            folder,
            identity,
            last,
            update=update,
            check=check,
            begin=begin,
            average=average,
            report=report,
        )
        weights = folder / "classifier.caffemodel"
        with average.instead(solver) if average else nullcontext():
            solver.save_weights(weights)
    return weights


def _digest(how: Training) -> str:
    """Of what differs from what is usual, so that a new kind of change does not end the trainings without it."""
    named = asdict(replace(how, start=how.start and Path(Path(how.start).name)))  # wherever it lies
    usual = asdict(Training())
    return short_digest(repr({name: value for name, value in named.items() if value != usual[name]}).encode())


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
