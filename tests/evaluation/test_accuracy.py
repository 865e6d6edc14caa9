"""The shipped weights must be as good as their card says."""

from rationale.datasets import load_dataset
from rationale.evaluation.accuracy import accuracy
from rationale.model import Model


def test_the_shipped_lenet_recognises_the_test_digits(mnist_model: Model) -> None:
    assert accuracy(mnist_model, mnist_model.network, load_dataset("mnist").split("test")) >= 0.991
