"""What the experiments with photographs keep must be what was measured."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import Split, load_dataset
from rationale.evaluation.classification import classify
from rationale.model import Model
from rationale.reproduce import measure, photographs
from rationale.reproduce.borders import draw_borders, inverted, most_on_borders, outlined
from rationale.training.display import draw_curves
from rationale.training.loop import Progress


@pytest.fixture(scope="module")
def few() -> Split:
    test = load_dataset("mnist").split("test")
    assert test.objects is not None
    return replace(test, ids=test.ids[:60], images=test.images[:60], labels=test.labels[:60], objects=test.objects[:60])


def test_figures_and_charts_of_a_classifier(mnist_model: Model, few: Split, tmp_path: Path) -> None:
    found = classify(mnist_model, mnist_model.network, few)
    figures = photographs.classifier_figures(mnist_model, found)
    mean, low, high = figures["accuracy"]
    assert low <= mean <= high
    assert mean == found.accuracy()
    assert list(figures["by_class"]) == list(mnist_model.labels)
    assert np.sum(figures["confusion"]) == 60
    written = photographs.draw_classifier(mnist_model, found, tmp_path)
    assert [path.name for path in written] == ["mnist-confusion.png", "mnist-calibration.png"]
    assert all(path.stat().st_size > 5000 for path in written)


def test_regions_are_summed_up_with_intervals(mnist_model: Model, few: Split, tmp_path: Path) -> None:
    regions = photographs.summed_up(photographs.measure_regions(mnist_model, few))
    assert regions["object"]["pictures"] == 60
    assert photographs.draw_regions(mnist_model, {"shipped": regions}, 60, tmp_path).stat().st_size > 5000
    mean, low, high = regions["object"]["density"]
    assert 1 < low <= mean <= high
    assert 0.5 < regions["object"]["relevance"][0] + regions["border"]["relevance"][0] <= 1


def test_figures_of_an_earlier_run_are_kept_only_where_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "measurements_directory", lambda: tmp_path)
    read = lambda: set(measure.json.loads((tmp_path / "x.json").read_text())) - {"where"}  # noqa: E731
    measure.keep("x", {"a": 1, "seeds": [1]})
    measure.keep("x", {"b": 2}, keeping=("seeds",))
    assert read() == {"b", "seeds"}
    measure.keep("x", {"c": 3}, keeping=None)
    assert read() == {"b", "c", "seeds"}
    measure.keep("x", {"d": 4})
    assert read() == {"d"}


def test_curves_are_drawn_with_or_without_accuracies(tmp_path: Path) -> None:
    loss = {"loss": [(10, 2.0), (20, 1.0)]}
    both = Progress(curves={**loss, "accuracy, validation split": [(20, 0.5)]})
    one = Progress(curves=loss)
    for name, progress in (("both.png", both), ("one.png", one)):
        assert draw_curves("a network", progress, tmp_path / name).stat().st_size > 5000


def test_photographs_with_most_relevance_on_their_borders_are_shown(
    mnist_model: Model, few: Split, tmp_path: Path
) -> None:
    found = photographs.measure_regions(mnist_model, few)
    rows = most_on_borders(found, 3)
    shares = [each["border"].relevance if "border" in each else 0.0 for each in found]
    assert [shares[row] for row in rows] == sorted(shares, reverse=True)[:3]
    variants = {"before": (mnist_model.network, found), "after": (mnist_model.network, found)}
    for with_photographs, across in ((True, 3), (False, 4)):
        path = draw_borders(
            mnist_model, few, rows, variants, tmp_path / "borders.png", with_photographs=with_photographs
        )
        assert Image.open(path).width // (16 + 28) >= across


def test_an_outline_runs_inside_the_object() -> None:
    thing = np.zeros((7, 9), bool)
    thing[2:5, 2:7] = True
    drawn = outlined(np.full((7, 9, 3), 200, np.uint8), {"object": thing, "border": np.zeros_like(thing)})
    changed = (drawn != 200).any(axis=2)
    inside = np.zeros_like(thing)
    inside[3, 3:6] = True
    np.testing.assert_array_equal(changed, thing & ~inside)


def test_borders_are_inverted_and_nothing_else() -> None:
    photo = np.full((6, 8, 3), 100, np.uint8)
    photo[:, :2], photo[:, 6:], photo[2, 4] = 255, 0, 255
    split = Split("test", ["one"], [photo], np.array([0]))
    (turned,) = inverted(split).images
    expected = photo.copy()
    expected[:, :2], expected[:, 6:] = 0, 255
    np.testing.assert_array_equal(turned, expected)
