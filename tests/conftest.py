"""What several tests share."""

from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.model import Model

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def mnist_model() -> Model:
    return Model.load("mnist")


@pytest.fixture(scope="session")
def digits() -> np.ndarray:
    """Twenty real test digits, uint8 (20, 28, 28)."""
    return np.array(load_dataset("mnist").split("test").images[:20])
