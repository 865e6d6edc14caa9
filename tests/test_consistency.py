"""Consistency is the area under the ROC curve of named against unnamed parts."""

import numpy as np
import pytest

from rationale.consistency import consistency, part_densities


def test_pairs_are_counted() -> None:
    densities = {"a": 3.0, "b": 2.0, "c": 1.0, "d": 2.0}
    assert consistency(densities, ["a"]) == 1.0
    assert consistency(densities, ["c"]) == 0.0
    assert consistency(densities, ["a", "b"]) == pytest.approx((2 + 1.5) / 4)  # b ties with d
    assert consistency(densities, ["b", "unseen"]) == pytest.approx(1.5 / 3)


def test_nothing_to_compare() -> None:
    assert consistency({"a": 1.0}, ["a"]) is None
    assert consistency({"a": 1.0}, []) is None
    assert consistency({}, ["a"]) is None


def test_density_is_relative_to_the_picture() -> None:
    heatmap = np.array([[4.0, -9.0], [0.0, 0.0]])
    masks = {name: np.zeros((2, 2), bool) for name in ("left", "none", "all")}
    masks["left"][:, 0] = True
    masks["all"][:] = True
    assert part_densities(heatmap, masks) == {"left": 2.0, "all": 1.0}
    assert part_densities(np.zeros((2, 2)), masks) == {"left": 0.0, "all": 0.0}
