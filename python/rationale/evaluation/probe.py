"""A linear probe: what can be read from some numbers by one matrix, every value of an attribute weighing alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STRENGTH = 30.0  # of the ridge, for inputs that are standardised


@dataclass(frozen=True, eq=False)
class Probe:
    """Scores of each value: inputs @ weights + bias, with weights (D, values) and bias (values,)."""

    values: tuple[str, ...]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def choose(self, inputs: NDArray[np.float64]) -> list[str]:
        """The value with the highest score for each row of (N, D)."""
        return [self.values[number] for number in (inputs @ self.weights + self.bias).argmax(axis=1)]


def fit_probe(inputs: NDArray[np.float64], true: Sequence[str], strength: float = STRENGTH) -> Probe:
    """Ridge regression on one-hot values (Hoerl and Kennard 1970), rows weighted so that every value counts alike.

    Args:
        inputs: (N, D), standardised alike.
        true: value of each row.
        strength: of the ridge; the bias is free of it.
    """
    values = sorted(set(true))
    numbers = np.array([values.index(each) for each in true])
    weights = np.sqrt(len(true) / len(values) / np.bincount(numbers)[numbers])[:, None]
    extended = np.hstack([inputs, np.ones((len(inputs), 1))]) * weights
    ridge = strength * np.eye(extended.shape[1])
    ridge[-1, -1] = 1e-6
    found = np.linalg.solve(extended.T @ extended + ridge, extended.T @ (np.eye(len(values))[numbers] * weights))
    return Probe(tuple(values), found[:-1], found[-1])
