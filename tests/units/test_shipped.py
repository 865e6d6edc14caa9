"""The stores that come along must be of the weights beside them, small, with credit, and true."""

from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.model import Model
from rationale.units import Store
from rationale.units.store import shipped_store, store_path
from tests.conftest import needs

MODELS = ("mnist", "flight")


@pytest.fixture(params=MODELS)
def named(request: pytest.FixtureRequest) -> tuple[Model, Store]:
    model = Model.load(request.param)
    path = shipped_store(model)
    assert path is not None, "the store is of other weights: make units"
    return model, Store.open(path, model)


def test_it_is_found_small_and_says_whose_the_pictures_are(
    named: tuple[Model, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, store = named
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert store_path(model) == store.path
    assert store.path.stat().st_size <= 15e6
    assert store.about["split"] == "train"
    if model.name == "flight":
        assert "Caltech-101" in store.source
        assert "CC BY 4.0" in store.source
        crops = [each.crop for each in store.unit("evidence", 0).examples["top"]]
        assert max(max(crop.shape) for crop in crops if crop is not None) <= 44


def test_its_figures_are_those_of_the_pictures(named: tuple[Model, Store]) -> None:
    model, store = named
    needs(model.name)
    train = load_dataset(model.name).split("train")
    rows = {name: row for row, name in enumerate(train.ids)}
    layer = list(store.layers)[1]
    for number in (0, store.layers[layer] - 1):
        unit = store.unit(layer, number)
        for example in unit.examples["top"][:2]:
            model.network.forward(model.preprocess([model.view(train.images[rows[example.id]])]))
            found = model.network.activation(layer)[0, number]
            assert found.max() == pytest.approx(example.value, rel=1e-4)
            assert found[example.place] == found.max()
            assert example.highlight is not None


def test_other_weights_find_no_shipped_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    weights = Path(Model.load("mnist").description.files.weights)
    changed = bytearray(weights.read_bytes())
    place = changed.rfind(np.float32(0).tobytes()[:1]) // 2
    changed[place] ^= 1
    (tmp_path / "other.caffemodel").write_bytes(changed)
    other = Model.load("mnist", weights=tmp_path / "other.caffemodel")
    assert shipped_store(other) is None
    assert store_path(other).is_relative_to(tmp_path)
