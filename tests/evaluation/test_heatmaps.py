"""Every method must be measured alike, and what was measured must not be measured again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.errors import OptionError
from rationale.evaluation import heatmaps
from rationale.evaluation.heatmaps import Settings, heatmaps_of, measure_heatmaps, methods_of
from rationale.gradients.baselines import BASELINES
from rationale.lrp import COMPOSITES
from rationale.model import Model

FEW = Settings(pictures=6, steps=4, fillings=("zero", "noise"))


def measured(model: Model, folder: Path, **more: object) -> dict[str, heatmaps.Values]:
    test = load_dataset("mnist").split("test")
    names = ["epsilon-plus", "gradient × input", "edges"]
    return measure_heatmaps(model, test, folder, FEW, **{"names": names, "random_labels": model.network, **more})


def test_all_composites_and_baselines_can_be_measured(mnist_model: Model) -> None:
    assert set(methods_of(mnist_model)) == {*COMPOSITES, *BASELINES}


def test_every_yardstick_gives_one_number_a_picture(mnist_model: Model, tmp_path: Path) -> None:
    found = measured(mnist_model, tmp_path)
    assert set(found) == {"epsilon-plus", "gradient × input", "edges"}
    for values in found.values():
        assert {len(values[name]) for name in ("mass", "rank", "other_class", "random_labels")} == {6}
        assert list(values["random_network"]) == ["ip2", "ip1", "conv2", "conv1"]
        assert len(values["flipping"]["LeRF"]["noise"]["aopc"]) == 6
        assert len(values["flipping"]["MoRF"]["zero"]["curve"]) == len(values["covered"]) == 5
        np.testing.assert_allclose(values["random_labels"], 1)  # here: the same network
    assert np.allclose(found["edges"]["other_class"], 1)
    assert np.mean(found["gradient × input"]["other_class"]) < 0.9


def test_sanity_checks_may_take_fewer_pictures_and_layers(mnist_model: Model, tmp_path: Path) -> None:
    test = load_dataset("mnist").split("test")
    few = replace(FEW, compared=2, depths=2)
    whole = measured(mnist_model, tmp_path / "whole", names=["gradient × input"])["gradient × input"]
    found = measure_heatmaps(mnist_model, test, tmp_path / "few", few, names=["gradient × input"])["gradient × input"]
    assert list(found["random_network"]) == ["ip2", "conv1"]
    np.testing.assert_allclose(found["random_network"]["conv1"], whole["random_network"]["conv1"][:2], atol=1e-6)


def test_what_was_measured_is_kept_unless_the_settings_differ(
    mnist_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(mnist_model, tmp_path, names=["edges"])

    def no_more(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr(heatmaps, "_measure", no_more)
    assert measured(mnist_model, tmp_path, names=["edges"]) == first
    with pytest.raises(AssertionError, match="again"):
        measured(mnist_model, tmp_path, names=["edges"], random_labels=None)


def test_an_unknown_method_is_an_error(mnist_model: Model, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no method is named 'magic'"):
        measured(mnist_model, tmp_path, names=["magic"])


def test_one_picture_under_every_composite(mnist_model: Model, digits: np.ndarray) -> None:
    maps = heatmaps_of(mnist_model, digits[0])
    assert list(maps) == list(COMPOSITES)
    np.testing.assert_allclose(maps["epsilon-plus"], mnist_model.explain(digits[0], composite="epsilon-plus").heatmap)
    other = heatmaps_of(mnist_model, digits[0], "3", baselines=True)
    assert set(other) == {*COMPOSITES, *BASELINES}
    assert np.any(other["epsilon"] != maps["epsilon"])
