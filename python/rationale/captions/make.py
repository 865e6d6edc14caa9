"""Writes a data set's captions: those that the heatmap selected, and their twin that knows nothing of it."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from rationale.captions import caption_source
from rationale.captions.choose import captions_of, chosen_at_random, chosen_by_heatmap
from rationale.captions.files import Caption, write_captions
from rationale.captions.measured import measured
from rationale.datasets import Split, dataset_of
from rationale.errors import DataError
from rationale.model import Model

SPLITS = ("train", "val", "test")
_SEED = 1


def make_captions(
    model: Model,
    linked: Path,
    unlinked: Path,
    report: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> list[Path]:
    """Writes both caption files of the model's data set, for all splits, and returns their paths.

    Args:
        model: whose heatmaps choose.
        linked: file of the captions that the heatmap selected.
        unlinked: file of those about parts drawn by lot.
        report: called with the split, the pictures done and their number.

    Raises:
        DataError: no captions are composed for the data set, or a photograph has no attributes.
    """
    dataset = dataset_of(model)
    source = caption_source(dataset.name)
    random = np.random.default_rng(_SEED)
    found: tuple[list[Caption], list[Caption]] = ([], [])
    for name in SPLITS:
        split = dataset.split(name)
        told = attributes_of(split)
        known = measured(model, split, source, of_labels=True, report=partial(report, name))
        for row, number in enumerate(split.ids):
            label, densities = dataset.classes[int(split.labels[row])], known.densities[row]
            subjects = (
                chosen_by_heatmap(source.language, told[row], densities),
                chosen_at_random(source.language, told[row], densities, random),
            )
            for captions, each in zip(found, subjects, strict=True):
                captions += captions_of(source.language, number, label, told[row], densities, each)
    return [write_captions(linked, found[0]), write_captions(unlinked, found[1])]


def attributes_of(split: Split) -> list[Mapping[str, str]]:
    """What is known of each picture in words.

    Raises:
        DataError: the split has no attributes, or a photograph has none.
    """
    if split.attributes is None:
        raise DataError(f"the split {split.name!r} has no attributes to compose captions of")
    found: list[Mapping[str, str]] = []
    for number, attributes in zip(split.ids, split.attributes, strict=True):
        words = {name: value for name, value in attributes.items() if isinstance(value, str) and value}
        if not words:
            raise DataError(f"photograph {number!r} has no attributes; annotate it, or leave it out of the split")
        found.append(words)
    return found
