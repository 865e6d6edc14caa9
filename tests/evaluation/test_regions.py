"""Relevance must be counted where it lies, and borders found where a photograph was turned."""

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.errors import OptionError
from rationale.evaluation.regions import border_mask, measure_regions, relevance_shares
from rationale.model import Model


def test_borders_are_plain_areas_that_reach_the_edge() -> None:
    photo = np.full((40, 60, 3), 120, np.uint8)
    photo[:, :5] = 255
    photo[30:, 50:] = 0
    photo[10:20, 20:30] = 255  # white, but in the middle
    found = border_mask(photo)
    assert found[:, :5].all()
    assert found[30:, 50:].all()
    assert found.sum() == 40 * 5 + 10 * 10


def test_shares_count_positive_relevance_by_area() -> None:
    heatmap = np.array([[3.0, 1.0], [-9.0, 0.0]], np.float32)
    regions = {"top": np.array([[True, True], [False, False]]), "left": np.array([[True, False], [True, False]])}
    shares = relevance_shares(heatmap, {**regions, "nothing": np.zeros((2, 2), bool)})
    assert set(shares) == {"top", "left"}
    assert shares["top"].relevance == 1
    assert shares["left"].relevance == pytest.approx(0.75)
    assert shares["left"].density == pytest.approx(1.5)
    with pytest.raises(OptionError, match="'wide'"):
        relevance_shares(heatmap, {"wide": np.ones((2, 3), bool)})


def test_object_background_and_border_are_the_whole_picture(mnist_model: Model) -> None:
    test = load_dataset("mnist").split("test")
    few = type(test)(test.name, test.ids[:5], test.images[:5], test.labels[:5], test.objects[:5])
    for shares in measure_regions(mnist_model, few, composite="epsilon"):
        assert sum(share.area for share in shares.values()) == pytest.approx(1)
        assert sum(share.relevance for share in shares.values()) == pytest.approx(1)
        assert shares["object"].relevance == pytest.approx(1)  # products with a black input are 0
    with pytest.raises(OptionError, match="does not know where"):
        measure_regions(mnist_model, type(test)("test", test.ids[:5], test.images[:5], test.labels[:5]))
