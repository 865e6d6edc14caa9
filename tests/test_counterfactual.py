"""Why not another class: what is said must be borne out by the picture, or is not said."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.counterfactual import with_why_not
from rationale.datasets import load_dataset
from rationale.errors import ModelError
from rationale.evaluation.blurring import blurred_views, densest, margin_without, masks_elsewhere
from rationale.explanation import Explanation
from rationale.model import Model
from tests.conftest import needs
from tests.test_cli import run


@pytest.fixture(scope="module")
def model() -> Model:
    needs("flight")
    return Model.load("flight")


@pytest.fixture(scope="module")
def explained(model: Model) -> Explanation:
    image = load_dataset("flight").split("val").images[40]
    return with_why_not(model, model.explain_views([model.view(image)], ["a"], words=False)[0], "runner-up")


def test_only_what_the_picture_bears_out_is_said(model: Model, explained: Explanation) -> None:
    found = explained.why_not
    assert found is not None
    assert (found.label, found.other) == ("airliner", "small")
    assert found.other_sentence is not None
    assert "small aircraft" in found.other_sentence
    assert found.heatmap.sum() == pytest.approx(found.margin, rel=0.05, abs=0.5)
    assert found.differences
    held = [each for each in found.differences if each.holds]
    for each in found.differences:
        assert each.value != each.other_value
        assert each.fall is not None
        assert each.elsewhere is not None
        assert each.holds == (each.fall > 0 and each.fall > each.elsewhere)
    assert (found.counterfactual is None) == (not held)
    assert found.counterfactual is not None
    assert found.counterfactual.startswith("It would be a small aircraft if it had ")
    _, _, after = found.counterfactual.lower().partition(" instead of ")
    unsaid = {each.phrase for each in found.differences if not each.holds} - {each.phrase for each in held}
    assert not any(phrase.lower() in after for phrase in unsaid)
    assert held[0].phrase.lower() in after
    assert explained.sentence is not None


def test_nothing_is_said_where_nothing_is_borne_out(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier to which no place matters: blurring changes no score."""
    view = model.view(load_dataset("flight").split("val").images[40])
    plain = model.explain_views([view], ["a"], words=False)[0]
    monkeypatch.setattr("rationale.evaluation.blurring.scores_of", lambda model, batch: np.ones((len(batch), 2)))
    found = with_why_not(model, plain, "small").why_not
    assert found is not None
    assert found.counterfactual is None
    assert found.remark is not None
    assert found.remark.startswith("Nothing is said")
    assert not any(each.holds for each in found.differences)


def test_a_class_is_not_held_against_itself(model: Model, explained: Explanation) -> None:
    plain = replace(explained, why_not=None)
    assert with_why_not(model, plain, "airliner").why_not is None
    with pytest.raises(ModelError, match="no class 'zeppelin'"):
        with_why_not(model, plain, "zeppelin")
    with pytest.raises(ModelError, match="model 'mine' has no trained explainer"):
        with_why_not(Model("mine", model.directory, replace(model.description, explainer=None)), plain, "small")


def test_blurring_a_part_that_decides_lowers_the_margin_and_elsewhere_does_not(mnist_model: Model) -> None:
    digit = np.zeros((28, 28), np.uint8)
    digit[4:24, 13:16] = 255  # a 1
    stroke = digit > 0
    label = mnist_model.explain(digit).index
    on, off = margin_without(mnist_model, digit, stroke, label), margin_without(mnist_model, digit, ~stroke, label)
    assert on.fall > 0
    assert on.holds
    assert on.fall > off.fall


def test_as_much_elsewhere_is_as_much(model: Model) -> None:
    mask = np.zeros((20, 30), bool)
    mask[3:8, 4:15] = True
    found = masks_elsewhere(mask)
    assert len(found) == 6
    assert all(each.sum() == mask.sum() and (each & mask).sum() <= 0.2 * mask.sum() for each in found)
    assert len({each.tobytes() for each in found}) > 3
    assert not masks_elsewhere(np.ones((4, 4), bool))
    view = model.view(load_dataset("flight").split("val").images[40])
    region = np.zeros(view.shape[:2], bool)
    region[50:80, 60:120] = True
    plain, blurred = model.preprocess([view])[0], blurred_views(model, view, [region])[0]
    assert np.array_equal(plain[:, ~region], blurred[:, ~region])
    assert not np.allclose(plain[:, region], blurred[:, region])
    heat = np.zeros((40, 60), np.float32)
    heat[10:14, 20:25] = 1
    where = densest(heat)
    assert where[12, 22]
    assert where.mean() == pytest.approx(0.08, abs=0.02)


def test_the_command_says_why_not(tmp_path: Path) -> None:
    needs("flight")
    files = load_dataset("flight").split("val").files
    assert files is not None
    done = run("explain", files[40], "--model", "flight", "--why-not", "runner-up", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads((tmp_path / "out" / "explanation.json").read_text())["why_not"]
    assert told["other"] == "small"
    assert f"not small: {told['counterfactual'] or told['remark']}" in done.stdout
    assert any(each["known"] for each in told["differences"])  # a photograph of the data set, whose parts are known
    assert "Why airliner, and not small?" in (tmp_path / "out" / "report.html").read_text()
    with h5py.File(tmp_path / "out" / "explanation.h5") as file:
        assert file["why_not/heatmap"].shape == (144, 288)
    wrong = run("explain", files[40], "--model", "flight", "--why-not", "zeppelin", "--out", tmp_path / "out")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "no class 'zeppelin'; its classes are airliner, small" in wrong.stderr
    both = run("explain", files[40], "--model", "flight", "--why-not", "small", "--against", "small")
    assert (both.returncode, both.stdout) == (2, "")
