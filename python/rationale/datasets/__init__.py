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
    """The data set of that name, fetched at first use; or people's own pictures: see `folder`.

    Raises:
        DataError: unknown name, or it cannot be fetched.
    """
    if name in _DATASETS:
        return _DATASETS[name]()
    if Path(name).exists():
        return Folder(Path(name))
    known = ", ".join(DATASETS)
    raise DataError(f"no data set is named {name!r}; there are {known}, or give a directory or a list of pictures")


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
    name = model.description.dataset
    if name is None:
        raise ModelError(f"model {model.name!r} names no dataset in its model.toml")
    if name not in DATASETS and not Path(name).is_absolute():  # what lies beside model.toml has become a whole path
        raise ModelError(f"model {model.name!r} names the dataset {name!r}: none that is known, and nothing beside it")
    dataset = load_dataset(name)
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
