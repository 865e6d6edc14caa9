"""A mean with its confidence interval."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, bootstrap


@dataclass(frozen=True)
class Estimate:
    """Mean of `count` samples, and the interval that holds the true mean with 95 % confidence."""

    mean: float
    low: float
    high: float
    count: int

    def is_above(self, other: "Estimate") -> bool:
        """Whether the intervals are apart and this one is the higher."""
        return self.low > other.high


def estimate(values: ArrayLike, seed: int = 0) -> Estimate:
    """Of numbers, a percentile bootstrap over samples (Efron and Tibshirani 1993), 2,000 resamples.

    Of booleans, Wilson's interval of a proportion (Wilson 1927), which stays true near 0 and 1.
    """
    if np.asarray(values).dtype == np.bool_:
        return _proportion(np.asarray(values))
    samples = np.asarray(values, np.float64)
    mean = float(samples.mean())
    if len(samples) < 2 or np.ptp(samples) == 0:
        return Estimate(mean, mean, mean, len(samples))
    found = bootstrap((samples,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed))
    low, high = found.confidence_interval
    return Estimate(mean, float(low), float(high), len(samples))


def _proportion(values: NDArray[np.bool_]) -> Estimate:
    found = binomtest(int(values.sum()), values.size).proportion_ci(0.95, method="wilson")
    return Estimate(float(values.mean()), float(found.low), float(found.high), values.size)
