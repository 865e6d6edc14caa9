"""The file must hold what explaining each picture gives, in order, however the run was cut, and on any workers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from rationale.batch import Crew, cluster, heatmaps, write_heatmaps
from rationale.batch.heatmaps import Heatmaps
from rationale.batch.worker import Duty, Pictures, work_elsewhere
from rationale.datasets import Split, load_dataset, loose_pictures
from rationale.errors import OptionError, OutputError
from rationale.model import Model
from rationale.network.pycaffe import pycaffe
from tests.conftest import ROOT
from tests.hdf5 import assert_same, contents


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> Split:
    monkeypatch.setattr(Model, "batch_size", 8)
    test = load_dataset("mnist").split("test")
    return replace(test, ids=test.ids[:20], images=test.images[:20], labels=test.labels[:20])


def test_the_file_equals_single_explanations(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    with h5py.File(write_heatmaps(mnist_model, split, tmp_path / "out.h5")) as file:
        assert file["id"].asstr()[:].tolist() == list(split.ids)
        np.testing.assert_array_equal(file["true_class"][:], split.labels)
        assert file["heatmap"].chunks == (8, 28, 28)
        assert file["heatmap"].compression == "lzf"
        for number in (0, 7, 8, 19):
            explanation = mnist_model.explain(split.images[number])
            assert file["prediction"][number] == explanation.index
            np.testing.assert_allclose(file["score"][number], explanation.score, rtol=1e-5)
            np.testing.assert_allclose(file["heatmap"][number], explanation.heatmap, atol=1e-5)
            channels = explanation.channel_relevance("conv2")
            np.testing.assert_allclose(file["channel_relevance/conv2"][number], channels, atol=1e-4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5"]


def test_half_the_precision_takes_half_the_room(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    whole = contents(write_heatmaps(mnist_model, split, tmp_path / "32.h5"))
    half = contents(write_heatmaps(mnist_model, split, tmp_path / "16.h5", precision="float16"))
    assert half["heatmap"].dtype == np.float16
    np.testing.assert_array_equal(half["heatmap"], whole["heatmap"].astype(np.float16))
    np.testing.assert_array_equal(half["score"], whole["score"])
    with pytest.raises(OptionError, match="float32, float16"):
        write_heatmaps(mnist_model, split, tmp_path / "8.h5", precision="float8")


def test_an_interrupted_run_goes_on_and_gives_the_same_file(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_heatmaps(mnist_model, split, tmp_path / "cut.h5", report=interrupt)
    assert not (tmp_path / "cut.h5").exists()
    seen = []
    write_heatmaps(mnist_model, split, tmp_path / "cut.h5", report=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 20)]
    assert_same(tmp_path / "cut.h5", write_heatmaps(mnist_model, split, tmp_path / "whole.h5"))


COMMAND = "from rationale.cli import main; main()"


def test_killed_at_any_moment_it_comes_to_the_same_file(tmp_path: Path) -> None:
    """Killed after some parts, after more, and while the file is made of them."""
    arguments = [sys.executable, "-c", COMMAND, "batch", "heatmaps", "--split", "val", "--composite", "epsilon"]
    arguments.append("--no-sentence")  # which would take ten times as long as all else
    subprocess.run([*arguments, "--out", tmp_path / "whole.h5"], check=True, capture_output=True)
    parts = tmp_path / "cut.h5.parts"
    moments = [lambda: len(list(parts.glob("*.npz"))) >= 3, lambda: len(list(parts.glob("*.npz"))) >= 50]
    moments.append((tmp_path / "cut.h5.part").exists)
    for moment in moments:
        running = subprocess.Popen([*arguments, "--out", tmp_path / "cut.h5"], stderr=subprocess.DEVNULL)
        while not moment() and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL, "it ended before it could be killed"
    subprocess.run([*arguments, "--out", tmp_path / "cut.h5"], check=True, capture_output=True)
    assert_same(tmp_path / "cut.h5", tmp_path / "whole.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.h5", "whole.h5"]


def test_a_file_of_another_run_is_not_touched(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    path = write_heatmaps(mnist_model, split, tmp_path / "out.h5", "epsilon")
    with pytest.raises(OutputError, match="holds another run"):
        write_heatmaps(mnist_model, split, path, "epsilon-plus")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["important"] = 1
    with pytest.raises(OutputError, match="not written by this command"):
        write_heatmaps(mnist_model, split, tmp_path / "mine.h5")
    (tmp_path / "cut.h5.parts").mkdir()
    (tmp_path / "cut.h5.parts" / "run.json").write_text(json.dumps({"model": "other"}))
    (tmp_path / "cut.h5.parts" / "00000000.npz").touch()
    with pytest.raises(OutputError, match="parts of another run"):
        write_heatmaps(mnist_model, split, tmp_path / "cut.h5")


def test_two_runs_do_not_write_the_same_file(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    def meanwhile(done: int, total: int) -> None:
        with pytest.raises(OutputError, match="another process is writing it"):
            write_heatmaps(mnist_model, split, tmp_path / "out.h5")

    write_heatmaps(mnist_model, split, tmp_path / "out.h5", report=meanwhile)


def test_workers_give_the_same_file_bit_for_bit_though_one_is_killed(mnist_model: Model, tmp_path: Path) -> None:
    """One of two worker processes is killed once the first parts are there."""
    distributed = pytest.importorskip("distributed", reason="pip install 'rationale[cluster]'")
    psutil = pytest.importorskip("psutil")  # comes with it
    test = load_dataset("mnist").split("test")
    killed = []

    def kill_one(done: int, total: int) -> None:
        if not killed:
            children = psutil.Process().children(recursive=True)
            worker = next(child for child in children if "spawn_main" in " ".join(child.cmdline()))
            killed.append(worker)
            worker.kill()
            time.sleep(0.1)

    write_heatmaps(mnist_model, test, tmp_path / "workers.h5", report=kill_one, crew=Crew(workers=2))
    assert killed
    one = write_heatmaps(mnist_model, test, tmp_path / "one.h5", crew=Crew(threads=1))
    assert_same(tmp_path / "workers.h5", one)

    # A cluster that is there, whose worker runs two tasks at a time.
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as standing:
        there = write_heatmaps(
            mnist_model, test, tmp_path / "there.h5", crew=Crew(scheduler=standing.scheduler_address)
        )
    assert_same(there, one)


def test_a_run_goes_on_with_the_threads_that_it_had(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_heatmaps(mnist_model, split, tmp_path / "out.h5", report=stop, crew=Crew(threads=2))
    path = write_heatmaps(mnist_model, split, tmp_path / "out.h5")
    with h5py.File(path) as file:
        assert file.attrs["threads"] == "2"
    assert write_heatmaps(mnist_model, split, path, crew=Crew(workers=2)) == path  # it is done already


def test_a_worker_with_other_files_refuses(mnist_model: Model) -> None:
    test = load_dataset("mnist").split("test")
    duty, pictures = Duty.like(mnist_model, 1), Pictures.like(mnist_model, test)
    for wrong in ((replace(duty, fingerprint="another"), pictures), (duty, replace(pictures, fingerprint="another"))):
        with pytest.raises(OptionError, match="another model or other pictures"):
            work_elsewhere(*wrong, Heatmaps(), [0])


def test_a_worker_takes_the_weights_that_were_asked_for(mnist_model: Model, tmp_path: Path) -> None:
    definition = str(mnist_model.description.files.classifier)
    pycaffe().Net(definition, pycaffe().TEST).save(str(tmp_path / "untrained.caffemodel"))
    untrained = Model.load("mnist", weights=tmp_path / "untrained.caffemodel")
    test = load_dataset("mnist").split("test")

    def score(model: Model) -> float:
        return float(work_elsewhere(Duty.like(model, 1), Pictures.like(model, test), Heatmaps(), [0])["score"][0])

    assert score(mnist_model) == pytest.approx(mnist_model.explain(test.images[0]).score, rel=1e-5)
    assert score(untrained) == pytest.approx(untrained.explain(test.images[0]).score, rel=1e-5)
    assert score(untrained) < score(mnist_model) / 2


def test_a_scheduler_without_workers_is_named(
    mnist_model: Model, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="pip install 'rationale[cluster]'")
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None, protocol="tcp") as empty,
        pytest.raises(OptionError, match="has no workers"),
    ):
        write_heatmaps(mnist_model, split, tmp_path / "out.h5", crew=Crew(scheduler=empty.scheduler_address))


@pytest.mark.parametrize("name", ["run.json", "00000000.npz"])
def test_damaged_parts_are_named(mnist_model: Model, split: Split, tmp_path: Path, name: str) -> None:
    parts = tmp_path / "out.h5.parts"

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_heatmaps(mnist_model, split, tmp_path / "out.h5", report=stop)
    (parts / name).write_bytes(b"{")
    with pytest.raises(OutputError, match=f"{re.escape(name)}: is damaged"):
        write_heatmaps(mnist_model, split, tmp_path / "out.h5")


def test_a_damaged_file_and_other_pictures_are_named(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    path = write_heatmaps(mnist_model, split, tmp_path / "out.h5")
    changed = replace(split, version="a photograph was replaced")
    with pytest.raises(OutputError, match="holds another run"):
        write_heatmaps(mnist_model, changed, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OutputError, match=r"out\.h5: is damaged"):
        write_heatmaps(mnist_model, split, path)


def test_a_scheduler_that_is_not_there_is_named(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="pip install 'rationale[cluster]'")
    with pytest.raises(OptionError, match=r"tcp://127\.0\.0\.1:9"):
        write_heatmaps(mnist_model, split, tmp_path / "out.h5", crew=Crew(scheduler="tcp://127.0.0.1:9"))


def test_without_dask_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=r"rationale\[cluster\]"), cluster.client(2, None):
        pass


@pytest.mark.parametrize("kept", ["[1]", "{}", '{"threads": "7"}'])
def test_a_run_that_wrote_no_part_binds_nobody(mnist_model: Model, split: Split, tmp_path: Path, kept: str) -> None:
    (tmp_path / "out.h5.parts").mkdir()
    (tmp_path / "out.h5.parts" / "run.json").write_text(kept)
    write_heatmaps(mnist_model, split, tmp_path / "out.h5", crew=Crew(threads=1))
    with h5py.File(tmp_path / "out.h5") as file:
        assert file.attrs["threads"] == "1"


def test_parts_that_a_kill_left_beside_the_whole_file_are_removed(
    mnist_model: Model, split: Split, tmp_path: Path
) -> None:
    write_heatmaps(mnist_model, split, tmp_path / "out.h5")
    (tmp_path / "out.h5.parts").mkdir()
    write_heatmaps(mnist_model, split, tmp_path / "out.h5")
    assert not (tmp_path / "out.h5.parts").exists()


def test_layers_named_like_folders_of_each_other_lie_side_by_side(split: Split, tmp_path: Path) -> None:
    """DenseNet-121 has `conv2_1` and `conv2_1/x1`; a "/" would nest in HDF5, and two names must not become one."""
    shipped = ROOT / "prototxt" / "mnist"
    names = {"conv1": "a", "pool1": "a/b", "conv2": "a|b", "pool2": "a%7Cb"}
    for name in ("classifier.prototxt", "model.toml"):
        text = (shipped / name).read_text().replace("../../weights", str(ROOT / "weights"))
        for old, new in names.items():
            text = text.replace(f'"{old}"', f'"{new}"')
        text = re.sub(r"(?s)^\[explainer\].*?(?=^\[|\Z)", "", text, flags=re.MULTILINE)  # its files are not copied
        (tmp_path / name).write_text(text)
    weights = tmp_path / "renamed.caffemodel"
    pycaffe().Net(str(tmp_path / "classifier.prototxt"), pycaffe().TEST).save(str(weights))
    renamed = Model.load(tmp_path, weights=weights)
    explanation = renamed.explain(split.images[0])
    explanation.save(tmp_path / "saved")
    path = write_heatmaps(renamed, split, tmp_path / "out.h5")
    with h5py.File(path) as file, h5py.File(tmp_path / "saved" / "explanation.h5") as saved:
        for name, stored in {"a": "a", "a/b": "a|b", "a|b": "a%7Cb", "a%7Cb": "a%257Cb"}.items():
            kept = file[f"channel_relevance/{stored}"]
            assert isinstance(kept, h5py.Dataset)
            np.testing.assert_allclose(kept[0], explanation.channel_relevance(name), atol=1e-4)
            np.testing.assert_array_equal(saved[f"relevance/{stored}"][()], explanation.relevance[name])
    assert sorted(each.name for each in tmp_path.glob("out*")) == ["out.h5"]


def test_a_file_of_another_layout_is_not_taken_for_done(
    mnist_model: Model, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_heatmaps(mnist_model, split, tmp_path / "out.h5")
    monkeypatch.setattr(heatmaps, "LAYOUT", "4")
    with pytest.raises(OutputError, match="layout '3', not '4'"):
        write_heatmaps(mnist_model, split, path)


def test_pictures_and_data_sets_whose_names_are_no_utf8(tmp_path: Path, digits: np.ndarray) -> None:
    photos = tmp_path / os.fsdecode(b"bad\xff")
    for number, digit in enumerate(digits):
        for part in ("train", "test"):
            place = photos / part / "ab"[number % 2]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(digit).save(place / os.fsdecode(b"\xff%d.png" % number))
    shipped = Model.load("mnist")
    described = replace(shipped.description, dataset=str(photos))
    model = Model("mnist", shipped.directory, described)
    with h5py.File(write_heatmaps(model, load_dataset(str(photos)).split("test"), tmp_path / "out.h5")) as file:
        assert file["id"].asstr()[0].startswith("a/\ufffd")
        assert str(file.attrs["dataset"]).endswith("bad\ufffd")


def test_a_plain_folder_is_explained_on_workers_too(mnist_model: Model, digits: np.ndarray, tmp_path: Path) -> None:
    for number, digit in enumerate(digits[:5]):
        path = tmp_path / "in" / f"{number % 2}" / "x" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).save(path)
    split = loose_pictures(tmp_path / "in")
    here = write_heatmaps(mnist_model, split, tmp_path / "here.h5", crew=Crew(threads=1))
    there = write_heatmaps(mnist_model, split, tmp_path / "there.h5", crew=Crew(threads=1, workers=1))
    assert_same(here, there)
    with h5py.File(here) as file:
        assert file["id"].asstr()[:].tolist() == ["0/x/0.png", "0/x/2.png", "0/x/4.png", "1/x/1.png", "1/x/3.png"]
        assert file["true_class"][:].tolist() == [-1] * 5
        assert file["classes"].asstr()[:].tolist() == list(mnist_model.labels)
        assert file["heatmap"].shape == (5, 28, 28)
        own = mnist_model.explain(tmp_path / "in" / "1" / "x" / "1.png")
        np.testing.assert_allclose(file["heatmap"][3], own.heatmap, atol=1e-5)
