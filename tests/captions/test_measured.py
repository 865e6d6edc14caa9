"""What the heatmaps of a split say is measured once, and an interrupted measurement goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rationale.captions import caption_source
from rationale.captions.measured import _path, measured
from rationale.datasets import load_dataset
from rationale.model import Model
from tests.conftest import needs


def test_an_interrupted_measurement_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needs("flight")
    model, source = Model.load("flight"), caption_source("flight")
    test = load_dataset("flight").split("test")
    assert test.parts is not None
    ten = replace(test, ids=test.ids[:10], images=test.images[:10], labels=test.labels[:10], parts=test.parts[:10])
    monkeypatch.setattr("rationale.captions.measured.cache_directory", lambda: tmp_path)
    reports: list[int] = []

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(model, ten, source, of_labels=True, report=stop)
    found = measured(model, ten, source, of_labels=True, report=lambda done, total: reports.append(done))
    assert reports == [10]  # the first eight were there
    assert found.ids == list(ten.ids)
    assert found.labels.tolist() == ten.labels.tolist()
    again = measured(model, ten, source, of_labels=True)
    np.testing.assert_array_equal(again.evidence.where, found.evidence.where)
    assert again.densities == found.densities
    assert [path.suffix for path in (tmp_path / "evidence").iterdir()] == [".npz"]


def test_mended_annotations_are_measured_anew() -> None:
    needs("flight")
    model, test = Model.load("flight"), load_dataset("flight").split("test")
    assert test.annotated
    assert _path(model, test, True) != _path(model, replace(test, annotated="mended"), True)
