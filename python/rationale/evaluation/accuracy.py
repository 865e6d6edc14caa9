"""How often a classifier is right."""

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Split
from rationale.model import Model
from rationale.network import Network

BATCH = 25


def predictions(model: Model, network: Network, split: Split) -> NDArray[np.int64]:
    """Predicted class of every picture of a split, (N,), with the model's preprocessing on any network like it."""
    target = model.description.output.target_layer or network.graph.score_node().name
    found = []
    for start in range(0, len(split), BATCH):
        views = [model.view(split.images[row]) for row in range(start, min(start + BATCH, len(split)))]
        network.forward(model.preprocess(views))
        found.append(network.activation(target).reshape(len(views), -1).argmax(axis=1))
    return np.concatenate(found)


def accuracy(model: Model, network: Network, split: Split) -> float:
    """Share of the split that is classified as labelled."""
    return float((predictions(model, network, split) == split.labels).mean())
