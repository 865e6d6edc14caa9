"""A data set whose training labels are dealt out at random: what a network learns from it, it learns by heart."""

import numpy as np

from rationale.datasets.dataset import Dataset, Split


class ShuffledLabels:
    """Another data set with the labels of its training split permuted, and that split cut to `count` pictures."""

    def __init__(self, dataset: Dataset, count: int, seed: int = 0) -> None:
        self.name = f"{dataset.name} with random labels"
        self.classes = dataset.classes
        self._dataset = dataset
        self._count = count
        self._seed = seed

    def split(self, name: str) -> Split:
        """The split `train`, with random labels, or another, as it was."""
        whole = self._dataset.split(name)
        if name != "train":
            return whole
        count = min(self._count, len(whole))
        labels = np.random.default_rng(self._seed).permutation(whole.labels[:count])
        return Split(name, whole.ids[:count], whole.images[:count], labels)
