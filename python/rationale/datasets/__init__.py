"""Data sets behind one interface: fetched, verified, split."""

import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rationale.datasets.cub import Cub
from rationale.datasets.dataset import Dataset, Split, check_classes, joined
from rationale.datasets.flight import Flight
from rationale.datasets.folder import Folder, loose_pictures
from rationale.datasets.mnist import Mnist
from rationale.errors import DataError, ModelError
from rationale.model import Model

_DATASETS: dict[str, Callable[[], Dataset]] = {
    "mnist": Mnist,
    "flight": Flight,
    "cub": Cub,
    "cub-22": partial(Cub, "cub-22"),
}
DATASETS = tuple(_DATASETS)


def load_dataset(name: str) -> Dataset:
    """The data set of that name, fetched at first use; or the pictures in a directory of class directories.

    Raises:
        DataError: unknown name, or it cannot be fetched.
    """
    if name in _DATASETS:
        return _DATASETS[name]()
    if Path(name).is_dir():
        return Folder(Path(name))
    raise DataError(f"no data set is named {name!r}; there are {', '.join(DATASETS)}, or give a directory")


def split_of(dataset: Dataset, name: str) -> Split:
    """A split, or several one after the other by names with a plus between: "train+val".

    Raises:
        DataError: one of them does not exist.
    """
    return functools.reduce(joined, [dataset.split(each) for each in name.split("+")])


def dataset_of(model: Model) -> Dataset:
    """The data set that a model names, whose classes must be the model's labels.

    Raises:
        ModelError: it names none, or one with other classes.
        DataError: there is no such data set, or it cannot be fetched.
    """
    if model.description.dataset is None:
        raise ModelError(f"model {model.name!r} names no dataset in its model.toml")
    dataset = load_dataset(model.description.dataset)
    check_classes(dataset, model.labels)
    return dataset


__all__ = [
    "DATASETS",
    "Dataset",
    "Split",
    "check_classes",
    "dataset_of",
    "joined",
    "load_dataset",
    "loose_pictures",
    "split_of",
]
