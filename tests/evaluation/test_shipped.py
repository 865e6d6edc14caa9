"""The weights that come along must be as good as docs/results.md says, on photographs that they never saw."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.batch import write_heatmaps
from rationale.datasets import load_dataset
from rationale.evaluation.classification import classify
from rationale.evaluation.regions import measure_regions
from rationale.model import Model
from tests.conftest import needs


@pytest.mark.parametrize(
    ("name", "files", "accuracy", "balanced"), [("flight", "flight", 0.98, 0.975), ("cub", "cub-22", 0.8, 0.8)]
)
def test_shipped_weights_are_as_good_as_is_said(name: str, files: str, accuracy: float, balanced: float) -> None:
    needs(files)
    model = Model.load(name)
    found = classify(model, model.network, load_dataset(files).split("test"))
    assert found.accuracy() >= accuracy
    assert found.balanced_accuracy() >= balanced


def test_the_flight_classifier_looks_at_the_aircraft() -> None:
    needs("flight")
    model = Model.load("flight")
    val = load_dataset("flight").split("val")
    found = measure_regions(model, val)
    assert np.mean([shares["object"].relevance for shares in found]) > 0.7
    assert np.mean([shares["border"].relevance for shares in found if "border" in shares]) < 0.03


def test_photographs_are_explained_in_batches_as_alone(tmp_path: Path) -> None:
    needs("flight")
    model = Model.load("flight")
    val = load_dataset("flight").split("val")
    with h5py.File(write_heatmaps(model, val, tmp_path / "val.h5")) as file:
        assert file["id"].asstr()[:].tolist() == list(val.ids)
        for row in (0, 41, 79):
            alone = model.explain(val.images[row])
            assert file["prediction"][row] == alone.index
            np.testing.assert_allclose(file["heatmap"][row], alone.heatmap, atol=1e-4 * np.abs(alone.heatmap).max())
