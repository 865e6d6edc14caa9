"""Losses: their gradients must be those of finite differences, and what follows the end must count in none."""

import numpy as np
import pytest

from rationale.explainer.losses import discriminative_weights, mean_entropy, relevance_weights, weighted_loss
from rationale.explainer.vocabulary import END, PADDING


@pytest.mark.parametrize("restricted", [False, True])
def test_gradients_equal_finite_differences(restricted: bool) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(3, 2, 5)).astype(np.float32)
    said = random.integers(0, 5, (3, 2))
    weights = random.normal(size=(3, 2))  # of both signs, as rewards below the baseline have
    weights[0, 1] = 0
    allowed = None
    if restricted:
        allowed = random.random((3, 2, 5)) < 0.6
        allowed[(*np.indices(said.shape), said)] = True
    _, gradient = weighted_loss(scores, said, weights, allowed)
    step = 1e-2
    for place in np.ndindex(scores.shape):
        ends = []
        for sign in (1, -1):
            moved = scores.astype(np.float64)
            moved[place] += sign * step
            ends.append(weighted_loss(moved, said, weights, allowed)[0])  # type: ignore[arg-type]
        assert gradient[place] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=2e-4)


def test_padding_counts_in_no_loss() -> None:
    said = np.array([[4, 5], [END, 6], [PADDING, END]])
    weights = relevance_weights(said)
    assert weights.sum() == pytest.approx(1)
    assert weights[2, 0] == 0
    rewarded = discriminative_weights(said, np.array([0.9, 0.2]), np.array([0.5, 0.5]))
    assert rewarded == pytest.approx(np.array([[0.2, -0.15], [0.2, -0.15], [0, -0.15]]))


def test_entropy_of_even_chances() -> None:
    said = np.array([[4], [PADDING]])
    assert mean_entropy(np.zeros((2, 1, 8), np.float32), said) == pytest.approx(np.log(8))
