"""Caffe's own data layer must read what we write, and what is there must not be written again."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from rationale.batch import databases
from rationale.batch.databases import write_database
from rationale.datasets import Split, load_dataset
from rationale.errors import OutputError
from rationale.model import Model
from rationale.network.pycaffe import pycaffe


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> Split:
    monkeypatch.setattr(databases, "SHARD", 8 * 784 * 4)
    test = load_dataset("mnist").split("test")
    return replace(test, ids=test.ids[:20], images=test.images[:20], labels=test.labels[:20])


def test_caffe_reads_every_picture_in_order(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    source = write_database(mnist_model, split, tmp_path / "db")
    network = tmp_path / "read.prototxt"
    network.write_text(
        'layer { name: "data" type: "HDF5Data" top: "data" top: "label" '
        f'hdf5_data_param {{ source: "{source}" batch_size: 20 }} }}'
    )
    net = pycaffe().Net(str(network), pycaffe().TRAIN)
    net.forward()
    np.testing.assert_array_equal(net.blobs["data"].data, mnist_model.preprocess(list(split.images)))
    np.testing.assert_array_equal(net.blobs["label"].data, split.labels)


def test_files_are_checksummed_and_only_damaged_ones_written_again(
    mnist_model: Model, split: Split, tmp_path: Path
) -> None:
    write_database(mnist_model, split, tmp_path)
    files = sorted(tmp_path.glob("*.h5"))
    assert len(files) == 3
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}
    damaged = bytearray(before[files[1]][1])
    damaged[-5] ^= 1
    files[1].write_bytes(damaged)
    files[2].unlink()
    write_database(mnist_model, split, tmp_path)
    assert files[0].stat().st_mtime_ns == before[files[0]][0]
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_a_place_that_cannot_be_written_is_named(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: cannot be written"):
        write_database(mnist_model, split, tmp_path / "file")


def test_digests_that_are_none_count_for_nothing(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    (tmp_path / "SHA256SUMS").write_bytes(b"garbage\n\xff\xfe\n")
    write_database(mnist_model, split, tmp_path)
    assert len(list(tmp_path.glob("*.h5"))) == 3


def test_a_full_disk_is_told_before_anything_is_written(
    mnist_model: Model, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(OutputError, match=r"test-0000.h5: wants 0 MB, but only 0 MB are free"):
        write_database(mnist_model, split, tmp_path)
    assert not list(tmp_path.glob("*.part"))


def test_two_writers_of_a_folder_do_not_spoil_each_others_files(
    mnist_model: Model, split: Split, tmp_path: Path
) -> None:
    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(OutputError, match="another process is writing a database there"):
            write_database(mnist_model, split, tmp_path)

    write_database(mnist_model, split, tmp_path, meanwhile)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)
    assert len(list(tmp_path.glob("*.h5"))) == 3


def test_files_of_others_under_our_names_are_not_written_over(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    mine = tmp_path / "test-0001.h5"
    for content in (b"notes", _hdf5(tmp_path)):
        mine.write_bytes(content)
        with pytest.raises(OutputError, match=r"test-0001\.h5: (was not written by this command|is made of other)"):
            write_database(mnist_model, split, tmp_path)
        assert mine.read_bytes() == content


def _hdf5(folder: Path) -> bytes:
    with h5py.File(folder / "important.h5", "w") as file:
        file["important"] = 1
    return (folder / "important.h5").read_bytes()


def test_what_a_kill_left_before_its_digest_is_written_again(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    write_database(mnist_model, split, tmp_path)
    (tmp_path / "SHA256SUMS").unlink()
    write_database(mnist_model, split, tmp_path)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=True)


def test_caffe_reads_from_a_folder_whose_name_is_no_utf8(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"bad\xff")
    source = write_database(mnist_model, split, odd)
    assert source.read_bytes().splitlines()[0] == os.fsencode(odd / "test-0000.h5")
