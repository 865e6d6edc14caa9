"""The file must hold what explaining each picture gives, in order, also after an interruption."""

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.batch import heatmaps, write_heatmaps
from rationale.datasets import Split, load_dataset
from rationale.errors import OutputError
from rationale.model import Model


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> Split:
    monkeypatch.setattr(heatmaps, "BATCH", 8)
    test = load_dataset("mnist").split("test")
    return replace(test, ids=test.ids[:20], images=test.images[:20], labels=test.labels[:20])


def test_the_file_equals_single_explanations(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    with h5py.File(write_heatmaps(mnist_model, split, tmp_path / "out.h5")) as file:
        assert file["id"].asstr()[:].tolist() == list(split.ids)
        np.testing.assert_array_equal(file["label"][:], split.labels)
        for number in (0, 7, 8, 19):
            explanation = mnist_model.explain(split.images[number])
            assert file["prediction"][number] == explanation.index
            np.testing.assert_allclose(file["score"][number], explanation.score, rtol=1e-5)
            np.testing.assert_allclose(file["heatmap"][number], explanation.heatmap, atol=1e-5)
            channels = explanation.channel_relevance("conv2")
            np.testing.assert_allclose(file["channel_relevance/conv2"][number], channels, atol=1e-4)


def test_an_interrupted_run_goes_on_and_gives_the_same_file(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 16:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_heatmaps(mnist_model, split, tmp_path / "cut.h5", report=interrupt)
    seen = []
    write_heatmaps(mnist_model, split, tmp_path / "cut.h5", report=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 20)]
    write_heatmaps(mnist_model, split, tmp_path / "whole.h5")
    with h5py.File(tmp_path / "cut.h5") as cut, h5py.File(tmp_path / "whole.h5") as whole:
        names: list[str] = []
        whole.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) == 11
        for name in names:
            np.testing.assert_array_equal(cut[name][()], whole[name][()])


def test_a_file_of_another_run_is_not_touched(mnist_model: Model, split: Split, tmp_path: Path) -> None:
    path = write_heatmaps(mnist_model, split, tmp_path / "out.h5", "epsilon")
    with pytest.raises(OutputError, match="holds another run"):
        write_heatmaps(mnist_model, split, path, "epsilon-plus")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["important"] = 1
    with pytest.raises(OutputError, match="not written by this command"):
        write_heatmaps(mnist_model, split, tmp_path / "mine.h5")
