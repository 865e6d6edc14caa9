"""The figures about classifiers must be the textbook's, and the shipped weights as good as their cards say."""

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.evaluation.classification import Classification, classify
from rationale.model import Model

LABELS = np.array([0, 0, 0, 1, 2, 2])
PROBABILITIES = np.array(
    [[0.95, 0.05, 0], [0.55, 0.45, 0], [0.2, 0.75, 0.05], [0.1, 0.85, 0.05], [0, 0.35, 0.65], [0.92, 0, 0.08]],
    np.float32,
)
FOUND = Classification(LABELS, PROBABILITIES)


def test_confusion_and_accuracies() -> None:
    assert FOUND.confusion().tolist() == [[2, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert FOUND.accuracy() == pytest.approx(4 / 6)
    np.testing.assert_allclose(FOUND.accuracy_by_class(), [2 / 3, 1, 1 / 2])
    assert FOUND.balanced_accuracy() == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)


def test_a_class_without_pictures_counts_for_nothing() -> None:
    some = Classification(LABELS[:4], PROBABILITIES[:4])
    assert np.isnan(some.accuracy_by_class()[2])
    assert some.balanced_accuracy() == pytest.approx((2 / 3 + 1) / 2)


def test_calibration_is_the_mean_gap_between_confidence_and_truth() -> None:
    # Bins 0.5: 0.55 right; 0.6: 0.65 right; 0.7: 0.75 wrong; 0.8: 0.85 right; 0.9: 0.95 right and 0.92 wrong.
    gaps = 0.45 + 0.35 + 0.75 + 0.15 + 2 * abs(0.5 - 0.935)
    assert FOUND.calibration_error() == pytest.approx(gaps / 6, rel=1e-5)
    assert FOUND.reliability()[2].tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 2]


def test_the_shipped_lenet_recognises_the_test_digits(mnist_model: Model) -> None:
    found = classify(mnist_model, mnist_model.network, load_dataset("mnist").split("test"))
    assert found.accuracy() >= 0.991
    assert found.calibration_error() < 0.02
