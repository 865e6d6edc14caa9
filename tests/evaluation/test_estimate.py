"""Intervals must hold the truth about as often as they say."""

import numpy as np

from rationale.evaluation.estimate import Estimate, estimate


def test_intervals_hold_the_true_mean_nineteen_times_of_twenty() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        found = estimate(random.exponential(1.0, 80))
        held += found.low <= 1.0 <= found.high
    assert 86 <= held <= 100


def test_equal_samples_have_no_width() -> None:
    assert estimate([0.5, 0.5, 0.5]) == Estimate(0.5, 0.5, 0.5, 3)


def test_above_means_that_intervals_are_apart() -> None:
    low, high = Estimate(1, 0.9, 1.1, 9), Estimate(1.15, 1.05, 1.2, 9)
    assert not high.is_above(low)
    assert Estimate(2, 1.5, 2.5, 9).is_above(low)


def test_a_share_has_wilsons_interval() -> None:
    """Wilson 1927, p̂ ± …: 197 of 200 and 0 of 12, by hand with z = 1.959964."""
    found = estimate(np.arange(200) < 197)
    np.testing.assert_allclose([found.mean, found.low, found.high], [0.985, 0.956844, 0.994886], atol=1e-5)
    none = estimate(np.zeros(12, bool))
    np.testing.assert_allclose([none.mean, none.low, none.high], [0, 0, 0.242494], atol=1e-5)
