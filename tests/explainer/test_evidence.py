"""Evidence must say where relevance lies, whatever the grid and the size of the picture."""

import numpy as np
import pytest

from rationale.errors import ModelError
from rationale.explainer.evidence import cell_densities, evidence_of


def test_cells_share_pixels_by_area() -> None:
    heatmap = np.zeros((1, 6, 10), np.float32)
    heatmap[0, 0, 0] = 1
    heatmap[0, 5, 9] = -3  # what speaks against does not count
    found = cell_densities(heatmap, (10, 6))
    assert found[0, 0, 0] == pytest.approx(60)
    assert found.sum() == pytest.approx(60)
    coarse = cell_densities(np.ones((2, 5, 7), np.float32), (3, 2))
    assert coarse == pytest.approx(np.ones((2, 2, 3)))
    assert not cell_densities(np.zeros((1, 4, 4), np.float32), (2, 2)).any()
    with pytest.raises(ModelError, match="finer than a picture"):
        cell_densities(heatmap, (11, 6))


def test_pooled_channels() -> None:
    random = np.random.default_rng(0)
    activation, relevance = random.normal(size=(2, 2, 4, 3, 5)).astype(np.float32)
    found = evidence_of(np.ones((2, 6, 8), np.float32), activation, relevance, (4, 3))
    assert found.where == pytest.approx(np.ones((2, 12)))
    assert found.feature == pytest.approx(activation.mean(axis=(2, 3)), rel=1e-5)
    assert found.relevance == pytest.approx(relevance.sum(axis=(2, 3)), rel=1e-5, abs=1e-6)
    assert len(found[[1]]) == 1
