"""What several commands load: a model and a split of its data set."""

from collections.abc import Sequence
from pathlib import Path

from rationale.datasets import Split, dataset_of
from rationale.model import Model


def model_and_split(
    model: str, split: str, gpu: int | None = None, weights: Path | None = None, stages: Sequence[str] | None = None
) -> tuple[Model, Split]:
    """A model and a split of its data set.

    Raises:
        ModelError: the model names no data set, or has other classes.
        DataError: there is no such split.
    """
    loaded = Model.load(model, weights=weights, gpu=gpu, stages=stages or ())
    return loaded, dataset_of(loaded).split(split)
