"""What several commands load: a model, a split of its data set, what says sentences."""

import sys
from collections.abc import Collection, Sequence
from pathlib import Path

from rationale.cli.app import complain
from rationale.datasets import Dataset, Split, dataset_of
from rationale.images import unreadable
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
    return loaded, told_of(dataset_of(loaded)).split(split)


def told_of(dataset: Dataset) -> Dataset:
    """The data set, once people were told what is odd about it, such as pictures that are left out."""
    for remark in getattr(dataset, "remarks", ()):
        print(f"beware: {remark}", file=sys.stderr)
    return dataset


def readable(paths: Collection[Path]) -> set[Path]:
    """Those pictures that can be read; of the others it is said why, of all of them before any work begins."""
    given = set(paths)
    wrong = unreadable(paths)
    for error in wrong.values():
        complain(error)
    return given - wrong.keys()


def can_say(model: Model, asked: bool | None) -> bool:
    """Whether sentences are said: as asked, or where the model can if nothing is; damaged files are one error, early.

    Raises:
        ModelError: they are asked of a model that cannot.
        DataError, NetworkError: the generator's files are damaged or do not fit.
    """
    if asked:
        model.explainer_fingerprint  # noqa: B018  says what is missing
    return asked is not False and model.explainer is not None
