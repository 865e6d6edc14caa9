"""What units did: their relevance and heatmaps must add up, and agree with conditional relevance as it is defined."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import load_dataset
from rationale.errors import OptionError
from rationale.explanation import Explanation
from rationale.model import Model
from rationale.units import Store, Wanted, scan
from rationale.units.decision import default_layers, with_units
from rationale.units.names import add_names
from rationale.units.store import own_path
from tests.units.planted import CORNER, EDGE, LYING, picture, planted_model, planted_split


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted_model(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def store(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Store:
    split = planted_split()
    path = scan(model, split, tmp_path_factory.mktemp("store") / "units.h5", Wanted(("parts",), 4)).path
    add_names(model, split, path, ("parts",))
    return Store.open(path, model)


def test_the_unit_that_was_made_for_the_class_carries_all_of_it(model: Model, store: Store) -> None:
    explained = with_units(model, model.explain(picture("corner", 5, 6)), store=store)
    assert list(explained.unit_evidence) == ["parts"]
    (unit,) = explained.unit_evidence["parts"]
    assert unit.number == CORNER
    assert unit.share == pytest.approx(1, abs=1e-3)
    assert unit.activation == pytest.approx(1)
    assert (unit.name, unit.title) == ("corner", "corner")
    assert len(unit.crops) == 4
    rows, columns = np.nonzero(unit.heatmap)
    assert {*rows.tolist()} <= {4, 5, 6}
    assert {*columns.tolist()} <= {5, 6, 7}


def test_a_contrast_shows_what_speaks_for_either_class(model: Model, store: Store) -> None:
    explained = with_units(model, model.explain(picture("corner", 5, 6), target=2, against=1), store=store)
    shares = {each.number: each.relevance for each in explained.unit_evidence["parts"]}
    assert shares[EDGE] > 0
    assert shares[LYING] < 0


def digit_explained(model: Model, **how: object) -> Explanation:
    digit = load_dataset("mnist").split("test").images[3]
    return with_units(model, model.explain(digit), **how)  # type: ignore[arg-type]


def test_heatmaps_of_all_channels_sum_to_the_heatmap(mnist_model: Model) -> None:
    explained = digit_explained(mnist_model, layers=["conv2"], count=50)
    total = sum(each.heatmap for each in explained.unit_evidence["conv2"])
    np.testing.assert_allclose(total, explained.heatmap, atol=1e-4)
    shares = [each.share for each in explained.unit_evidence["conv2"]]
    assert sum(shares) == pytest.approx(explained.channel_relevance("conv2").sum() / abs(explained.score), rel=1e-4)
    assert [abs(each) for each in shares] == sorted(map(abs, shares), reverse=True)


def test_channels_below_pass_on_what_came_through_the_one_above(mnist_model: Model) -> None:
    """All of conv1's channels under one of conv2 make up its heatmap, and agree with a condition on both layers."""
    explained = digit_explained(mnist_model, layers=["conv1", "conv2"], count=2, below=20)
    assert list(explained.unit_evidence) == ["conv2", "conv1"]
    upper = explained.unit_evidence["conv2"][0]
    np.testing.assert_allclose(sum(each.heatmap for each in upper.below), upper.heatmap, atol=1e-4)
    lower = upper.below[0]
    digit = load_dataset("mnist").split("test").images[3]
    found = mnist_model.relevance(
        [mnist_model.view(digit)], conditions=[{"conv2": upper.number, "conv1": lower.number}]
    ).conditional[0]
    np.testing.assert_allclose(lower.heatmap, found["data"][0].sum(axis=0), atol=1e-4)
    assert [each.layer for each in explained.unit_evidence["conv1"]] == ["conv1", "conv1"]
    assert explained.unit_evidence["conv1"][0].below == ()


def test_an_explanation_offers_its_units_with_and_without_evidence(mnist_model: Model) -> None:
    plain = mnist_model.explain(load_dataset("mnist").split("test").images[3])
    bare = plain.units("conv2", 3)
    assert [each.number for each in bare] == [each.number for each in plain.strongest_channels(3, "conv2")]
    assert bare[0].heatmap is None
    known = digit_explained(mnist_model).units("conv2", 3)
    assert [each.number for each in known] == [each.number for each in bare]
    assert known[0].heatmap is not None
    assert known[0].activation > 0


def test_report_figure_and_data_hold_the_units(model: Model, store: Store, tmp_path: Path) -> None:
    explained = with_units(model, model.explain(picture("corner", 5, 6)), store=store)
    written = explained.save(tmp_path)
    assert written[-1].name == "units.png"
    assert all(path.is_file() for path in written)
    page = (tmp_path / "report.html").read_text()
    assert "What its units saw" in page
    assert "<b>corner</b>" in page
    data = json.loads((tmp_path / "explanation.json").read_text())
    assert data["units"]["parts"][0]["number"] == CORNER
    assert explained.chain().shape[2] == 3
    model.explain(picture("corner", 5, 6)).save(tmp_path / "plain")
    assert "What its units saw" not in (tmp_path / "plain" / "report.html").read_text()


def test_the_command_shows_units_where_a_store_is_and_where_none_is(
    model: Model, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Image.fromarray(picture("corner", 5, 6)).save(tmp_path / "corner.png")
    command = [str(Path(sys.executable).with_name("rationale")), "explain", tmp_path / "corner.png", "--units"]
    command += ["--model", model.directory, "--out", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "units.png" in done.stdout
    own_path(model).parent.mkdir(parents=True)
    own_path(model).write_bytes(store.path.read_bytes())
    done = subprocess.run(command, capture_output=True, text=True)
    assert "#2 (corner) +" in done.stdout
    assert "pictures of units" in (tmp_path / "out" / "report.html").read_text()


def test_layers_are_chosen_where_the_model_has_maps(mnist_model: Model, store: Store, model: Model) -> None:
    assert default_layers(mnist_model, None) == ["conv2", "conv1"]
    assert default_layers(Model.load("flight"), None) == ["fire9/concat", "fire5/concat"]
    assert default_layers(model, store) == ["parts"]
    with pytest.raises(OptionError, match="no relevance reaches layer 'prob'"):
        digit_explained(mnist_model, layers=["prob"])
