"""What several tests share."""

from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.fetching import is_at_hand
from rationale.model import Model

ROOT = Path(__file__).parents[1]


def needs(name: str) -> None:
    """Skips where a file set would have to come over the network first."""
    if not is_at_hand(name):
        pytest.skip(f"{name} is not at hand: run `rationale data fetch {name}`")


@pytest.fixture(scope="session")
def mnist_model() -> Model:
    return Model.load("mnist")


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Twenty real test digits, uint8 (20, 28, 28)."""
    return np.array(load_dataset("mnist").split("test").images[:20])
