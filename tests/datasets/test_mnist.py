"""MNIST must be the MNIST everyone knows, and prepared once."""

import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import load_dataset, mnist
from rationale.errors import DataError
from rationale.fetching import derived_folder


def test_the_splits_are_the_customary_ones() -> None:
    dataset = load_dataset("mnist")
    sizes = {name: len(dataset.split(name)) for name in ("train", "val", "test")}
    assert sizes == {"train": 50_000, "val": 10_000, "test": 10_000}
    test = dataset.split("test")
    # Published counts of the ten digits among the test pictures.
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert test.images[0].dtype == np.uint8
    assert test.images[0].shape == (28, 28)
    assert test.ids[17] == "test/00017"
    assert len({*dataset.split("train").ids, *dataset.split("val").ids, *test.ids}) == 70_000


def test_the_object_is_the_ink() -> None:
    test = load_dataset("mnist").split("test")
    assert test.objects is not None
    np.testing.assert_array_equal(test.objects[3], test.images[3] > 0)


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="no split 'other'"):
        load_dataset("mnist").split("other")
    with pytest.raises(DataError, match="there are mnist, flight, cub, cub-22, or give a directory"):
        load_dataset("imagenet")


def test_a_pickle_that_wants_more_than_arrays_is_refused() -> None:
    with pytest.raises(DataError, match="not an array"):
        mnist._unpack(gzip.compress(pickle.dumps(Path("/tmp"))))


def test_a_preparation_that_was_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "fetched", lambda name: tmp_path)
    (tmp_path / "mnist.pkl.gz").write_bytes(b"")
    folder = tmp_path / "rationale" / "data" / "mnist-arrays"
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(b"half of it")
    monkeypatch.setattr(
        mnist, "_unpack", lambda content: (np.ones((70_000, 28, 28), np.uint8), np.zeros(70_000, np.uint8))
    )
    for _ in range(2):
        assert mnist.Mnist().split("test").images[5].max() == 1


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rationale").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="set XDG_CACHE_HOME"):
        mnist.Mnist()


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "gone"])
def test_damaged_arrays_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(mnist, "fetched", lambda name: tmp_path)
    (tmp_path / "mnist.pkl.gz").write_bytes(b"")
    monkeypatch.setattr(
        mnist, "_unpack", lambda content: (np.ones((70_000, 28, 28), np.uint8), np.zeros(70_000, np.uint8))
    )
    mnist.Mnist()
    images, labels = (derived_folder("mnist") / f"{name}.npy" for name in ("images", "labels"))
    if damage == "cut":
        os.truncate(images, 1000)
    elif damage == "empty":
        labels.write_bytes(b"")
    elif damage == "other":
        np.save(labels, np.zeros(10, np.uint8))
    else:
        images.unlink()
    assert mnist.Mnist().split("test").images[5].max() == 1
