"""Explains some pictures of a split into plain arrays: the work of one part, here or in another process."""

import functools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Split, load_dataset
from rationale.errors import OptionError
from rationale.explanation import hdf5_name
from rationale.lrp import Composite
from rationale.model import Model
from rationale.network import on_threads

Arrays = dict[str, NDArray[Any]]

_ONE_AT_A_TIME = threading.Lock()


def explained(
    model: Model, split: Split, rows: Sequence[int], composite: Composite, precision: str, sentences: bool = False
) -> Arrays:
    """Everything that is kept of these pictures, by its name in the file; see `batch.heatmaps`."""
    views = [model.view(split.images[row]) for row in rows]
    relevance = model.relevance(views, composite=composite)
    (input_name,) = model.network.inputs
    outcome = model.outcome()
    found: Arrays = {
        "id": np.array([split.ids[row] for row in rows]),
        "label": np.array([split.labels[row] for row in rows], np.int64),
        "prediction": relevance.targets,
        "score": relevance.scores,
        "value" if outcome.meaning == "values" else "probability": outcome.numbers.astype(np.float32),
        "heatmap": relevance[input_name].sum(axis=1).astype(precision),
    }
    if sentences:
        found["sentence"] = np.array([said[0].text if said else "" for said in model.sentences(relevance, 1)])
    for entry in relevance.ledger:
        if entry.layer in relevance:
            found[f"channel_relevance/{hdf5_name(entry.layer)}"] = relevance.channels(entry.layer)
    return found


def explained_elsewhere(
    model: str,
    weights: str,
    fingerprint: str,
    dataset: str,
    split: str,
    pictures: str,
    rows: Sequence[int],
    composite: str | None,
    precision: str,
    sentences: bool,
    threads: int,
    gpu: int | None,
    stages: tuple[str, ...] = (),
) -> Arrays:
    """The same by names, for a worker process, which loads model and data set once and does one part at a time.

    Raises:
        OptionError: the worker's files are not those of who asks.
    """
    with _ONE_AT_A_TIME:  # a network has one set of blobs, however many threads its process has
        loaded, found = _loaded(model, weights, fingerprint, dataset, split, pictures, gpu, stages)
        with on_threads(threads):
            return explained(loaded, found, rows, loaded.composite(composite), precision, sentences)


@functools.lru_cache(maxsize=1)
def _loaded(
    model: str,
    weights: str,
    fingerprint: str,
    dataset: str,
    split: str,
    pictures: str,
    gpu: int | None,
    stages: tuple[str, ...],
) -> tuple[Model, Split]:
    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages)
    found = load_dataset(dataset).split(split)
    if (loaded.fingerprint, found.fingerprint()) != (fingerprint, pictures):
        raise OptionError(f"a worker has another model or other pictures at {model} and {dataset!r}")
    return loaded, found
