"""What HDF5 files hold, to compare them."""

from pathlib import Path

import h5py
import numpy as np


def contents(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def assert_same(one: Path, other: Path) -> None:
    """All datasets are equal, those of files of different lengths (strips of crops) too."""
    first, second = contents(one), contents(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        if name.endswith("crops"):
            assert [each.tolist() for each in values] == [each.tolist() for each in second[name]]
        else:
            np.testing.assert_array_equal(values, second[name], err_msg=name)
