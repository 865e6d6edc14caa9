"""How often a classifier is right, where it errs, and whether its probabilities mean what they say."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Split
from rationale.errors import ModelError
from rationale.model import Model
from rationale.network import Network

BATCH = 25
BINS = 10  # of the reliability diagram


@dataclass(frozen=True, eq=False)
class Classification:
    """What a classifier made of a split.

    Attributes:
        labels: true classes, int64 (N,).
        probabilities: float32 (N, classes).
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    @property
    def predictions(self) -> NDArray[np.int64]:
        """Most probable class of each picture, (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def accuracy(self) -> float:
        """Share of the pictures that are classified as labelled."""
        return float((self.predictions == self.labels).mean())

    def balanced_accuracy(self) -> float:
        """Mean over the classes of the share of their pictures that are classified as labelled."""
        return float(np.nanmean(self.accuracy_by_class()))

    def accuracy_by_class(self) -> NDArray[np.float64]:
        """Share of each class's pictures that are classified as labelled, (classes,); NaN for a class without any."""
        table = self.confusion()
        totals = table.sum(axis=1)
        found = np.full(len(table), np.nan)
        np.divide(np.diag(table), totals, out=found, where=totals > 0)
        return found

    def confusion(self) -> NDArray[np.int64]:
        """Pictures by true class (row) and predicted class (column), (classes, classes)."""
        count = self.probabilities.shape[1]
        pairs = self.labels * count + self.predictions
        return np.bincount(pairs, minlength=count * count).reshape(count, count)

    def reliability(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
        """Mean confidence, share right, and number of pictures in ten bins of confidence; NaN where a bin is empty."""
        confidence = self.probabilities.max(axis=1).astype(np.float64)
        right = self.predictions == self.labels
        bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
        counts = np.bincount(bins, minlength=BINS)
        means = [
            np.divide(np.bincount(bins, values, BINS), counts, out=np.full(BINS, np.nan), where=counts > 0)
            for values in (confidence, right.astype(np.float64))
        ]
        return means[0], means[1], counts

    def calibration_error(self) -> float:
        """Expected calibration error: Σ n_b/N |share right − confidence| over ten bins (Guo et al. 2017, eq. 3)."""
        confidence, right, counts = self.reliability()
        return float(np.nansum(counts * np.abs(right - confidence)) / counts.sum())


def classify(
    model: Model,
    network: Network,
    split: Split,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Classification:
    """Runs a network like the model's, with the model's preprocessing, over a split.

    Raises:
        ModelError: the network does not say which one class is true.
    """
    output = model.description.output
    head = network.graph.head(output.target_layer)
    meaning = output.meaning or (head.meaning if head is not None else "values")
    if meaning == "labels" or len(model.labels) < 2:
        raise ModelError(
            f"model {model.name!r} says {meaning}, not which class is true: there is no accuracy to measure"
        )
    found = []
    for rows, views in model.batches(split.images, size=BATCH):
        network.forward(model.preprocess(views))
        found.append(network.outcome(output.target_layer, "classes").numbers)
        report(rows[-1] + 1, len(split))
    return Classification(split.labels, np.concatenate(found).astype(np.float32))
