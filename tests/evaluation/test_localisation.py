"""Mass and rank accuracy on maps that can be counted by hand."""

import numpy as np
import pytest

from rationale.errors import OptionError
from rationale.evaluation.localisation import relevance_mass_accuracy, relevance_rank_accuracy

MAPS = np.array([[[4.0, 2.0], [2.0, -8.0]], [[-1.0, -1.0], [-1.0, -1.0]]], np.float32)
LEFT = np.array([[[True, False], [True, False]]] * 2)


def test_mass_counts_positive_relevance_only() -> None:
    np.testing.assert_allclose(relevance_mass_accuracy(MAPS, LEFT), [6 / 8, 0])


def test_rank_counts_ties_by_their_share() -> None:
    # Of the two most relevant pixels one is sure (4, inside); the other is one of two 2s, of which one is inside.
    np.testing.assert_allclose(relevance_rank_accuracy(MAPS, LEFT), [0.75, 0.5])


def test_a_map_that_is_the_mask_is_right_everywhere() -> None:
    mask = np.random.default_rng(0).random((5, 7, 6)) > 0.7
    assert (relevance_mass_accuracy(mask.astype(np.float32), mask) == 1).all()
    assert (relevance_rank_accuracy(mask.astype(np.float32), mask) == 1).all()


def test_empty_masks_and_other_shapes_are_errors() -> None:
    with pytest.raises(OptionError, match="empty"):
        relevance_mass_accuracy(MAPS, np.zeros_like(LEFT))
    with pytest.raises(OptionError, match="must both be"):
        relevance_rank_accuracy(MAPS, LEFT[:1])
