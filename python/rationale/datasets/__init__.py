"""Data sets behind one interface: fetched, verified, split."""

from rationale.datasets.dataset import Dataset, Split
from rationale.datasets.manifest import file_set
from rationale.datasets.mnist import Mnist

_DATASETS = {"mnist": Mnist}


def load_dataset(name: str) -> Dataset:
    """The data set of that name, fetched at first use.

    Raises:
        DataError: unknown name, or it cannot be fetched.
    """
    file_set(name)
    return _DATASETS[name]()


__all__ = ["Dataset", "Split", "load_dataset"]
