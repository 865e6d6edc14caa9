"""What the heatmaps of a split say, measured once: evidence for the generator, and how dense relevance is on each part.

Kept in the user's cache, named by what it depends on: classifier, composite, pictures, grid and regions.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rationale.captions import Source
from rationale.consistency import part_densities
from rationale.datasets import Split
from rationale.datasets.dataset import Mask
from rationale.errors import DataError
from rationale.explainer.evidence import Evidence, merged
from rationale.fetching.digest import short_digest
from rationale.images import Pixels
from rationale.model import Model
from rationale.resources import cache_directory

BATCH = 8
_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Measured:
    """Of the N pictures of a split, each explained for one class.

    Attributes:
        ids: one for each picture.
        labels: the class that is explained, int64 (N,).
        predictions: the class that the classifier chose, int64 (N,).
        probabilities: of that class, (N,).
        evidence: for the class that is explained.
        densities: relevance density on each part that is seen, by its name, for each picture.
    """

    ids: Sequence[str]
    labels: NDArray[np.int64]
    predictions: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    evidence: Evidence
    densities: Sequence[Mapping[str, float]]

    def __len__(self) -> int:
        return len(self.ids)


def measured(
    model: Model,
    split: Split,
    source: Source,
    *,
    of_labels: bool,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Measured:
    """Measures a split, or reads what was measured before.

    Args:
        model: with an [explainer] in its model.toml.
        split: with parts.
        source: whose regions are measured.
        of_labels: explain the class that the picture has, as for captions to learn from; else the predicted one.
        report: called with the pictures done and their number.

    Raises:
        DataError: the split has no parts.
    """
    if split.parts is None:
        raise DataError(f"the split {split.name!r} has no parts, so that no captions can be chosen by them")
    path = _path(model, split, of_labels)
    if path.exists() and (found := _read(path)) is not None:
        report(len(split), len(split))
        return found
    pieces = []
    for rows, views in model.batches(split.images, size=BATCH):
        pieces.append(_measure(model, split, rows, views, source, of_labels))
        report(rows[-1] + 1, len(split))
    found = Measured(
        list(split.ids),
        np.concatenate([piece.labels for piece in pieces]),
        np.concatenate([piece.predictions for piece in pieces]),
        np.concatenate([piece.probabilities for piece in pieces]),
        merged([piece.evidence for piece in pieces]),
        [each for piece in pieces for each in piece.densities],
    )
    _write(path, found)
    return found


def _measure(
    model: Model, split: Split, rows: Sequence[int], views: Sequence[Pixels], source: Source, of_labels: bool
) -> Measured:
    assert split.parts is not None
    (name,) = model.network.inputs
    labels = split.labels[list(rows)] if of_labels else None
    relevance = model.relevance(views, labels, keep=[name, model.evidence_layer])
    heatmaps = relevance[name].sum(axis=1)
    densities = [
        part_densities(heatmap, view_regions(model, source, split.parts[row]))
        for row, heatmap in zip(rows, heatmaps, strict=True)
    ]
    probabilities = model.class_probabilities()
    return Measured(
        [split.ids[row] for row in rows],
        np.asarray(relevance.targets, np.int64),
        probabilities.argmax(axis=1),
        probabilities.max(axis=1),
        model.evidence(relevance),
        densities,
    )


def view_regions(model: Model, source: Source, parts: Mapping[str, Mask]) -> dict[str, Mask]:
    """Regions of what can be spoken of where the network sees them, bool of the input's size."""
    regions = {part: model.view_mask(mask) for part, mask in source.regions(parts).items() if mask.any()}
    return {part: mask for part, mask in regions.items() if mask.any()}


def _path(model: Model, split: Split, of_labels: bool) -> Path:
    what = (
        model.classifier_fingerprint,
        model.composite().name,
        model.explainer_settings.grid,
        model.evidence_layer,
        split.fingerprint(),
        of_labels,
        _FORMAT,
    )
    return cache_directory() / "evidence" / f"{short_digest(repr(what).encode())}.npz"


def _write(path: Path, found: Measured) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    arrays: dict[str, Any] = {
        "ids": np.array(found.ids),
        "labels": found.labels,
        "predictions": found.predictions,
        "probabilities": found.probabilities,
        "densities": np.array(json.dumps([dict(each) for each in found.densities])),
        **found.evidence.arrays(),
    }
    with open(partial, "wb") as file:
        np.savez(file, **arrays)
    os.replace(partial, path)


def _read(path: Path) -> Measured | None:
    """What was kept; None where it is damaged, to be measured again."""
    try:
        with np.load(path) as file:
            return Measured(
                file["ids"].tolist(),
                file["labels"],
                file["predictions"],
                file["probabilities"],
                Evidence(file["where"], file["feature"], file["relevance"]),
                json.loads(str(file["densities"])),
            )
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
