"""Writes a data set's captions: those that the heatmap selected, and their twin that knows nothing of it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from rationale.captions import spoken_of
from rationale.captions.birds import chosen_captions, unchosen_captions
from rationale.captions.choose import captions_of, chosen_at_random, chosen_by_heatmap
from rationale.captions.files import Caption, write_captions
from rationale.captions.measured import measured
from rationale.datasets import Split
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
    dataset, source = spoken_of(model)
    random = np.random.default_rng(_SEED)
    found: tuple[list[Caption], list[Caption]] = ([], [])
    for name in SPLITS:
        split = dataset.split(name)
        known = measured(model, split, source, of_labels=True, report=partial(report, name))
        told = attributes_of(split) if source.language is not None else []
        for row, number in enumerate(split.ids):
            label, densities = dataset.classes[int(split.labels[row])], known.densities[row]
            if source.language is None:
                assert source.lexicon is not None
                texts = captions_by_people(split, row)
                found[0].extend(chosen_captions(source.lexicon, number, label, texts, densities))
                found[1].extend(unchosen_captions(source.lexicon, number, label, texts, densities, random))
                continue
            subjects = (
                chosen_by_heatmap(source.language, told[row], densities),
                chosen_at_random(source.language, told[row], densities, random),
            )
            for captions, each in zip(found, subjects, strict=True):
                captions += captions_of(
                    source.language, number, label, told[row], densities, each, source.phrasings, row
                )
    return [write_captions(linked, found[0]), write_captions(unlinked, found[1])]


def captions_by_people(split: Split, row: int) -> Sequence[str]:
    """What people wrote about a picture.

    Raises:
        DataError: nobody did.
    """
    texts = split.captions[row] if split.captions is not None else ()
    if not texts:
        raise DataError(f"photograph {split.ids[row]!r} has no captions to choose from")
    return texts


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
