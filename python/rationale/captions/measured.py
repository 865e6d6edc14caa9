"""What the heatmaps of a split say, measured once: evidence for the generator, and how dense relevance is on each part.

Kept in the user's cache, named by what it depends on: classifier, composite, pictures, their annotation, and grid. An
interrupted measurement goes on where it stopped.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rationale.batch import Job
from rationale.captions import Source
from rationale.consistency import part_densities
from rationale.datasets import Split
from rationale.datasets.dataset import Mask
from rationale.errors import DataError
from rationale.explainer.evidence import Evidence
from rationale.fetching.digest import short_digest
from rationale.model import Model
from rationale.resources import cache_directory, write_whole

BATCH = 8  # another size changes last bits of what is learnt from
_FORMAT = 3


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
    job = Job(model, split, _Measuring(source, of_labels), path.with_suffix(".parts"), {"file": path.name}, size=BATCH)
    with job.begun(report) as (parts, done):
        for _ in done:
            pass
        pieces = [parts.read(start) for start in parts.starts]
        arrays: dict[str, Any] = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_whole(path, content.getvalue())
        parts.remove()
    return _made_of(arrays)


@dataclass(frozen=True)
class _Measuring:
    """The work of a job: what is known of some pictures, as arrays."""

    source: Source
    of_labels: bool

    def __call__(self, model: Model, split: Split, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
        assert split.parts is not None
        views = [model.view(split.images[row]) for row in rows]
        (name,) = model.network.inputs
        labels = split.labels[list(rows)] if self.of_labels else None
        relevance = model.relevance(views, labels, keep=[name, model.evidence_layer])
        heatmaps = relevance[name].sum(axis=1)
        densities = [
            part_densities(heatmap, view_regions(model, self.source, split.parts[row]))
            for row, heatmap in zip(rows, heatmaps, strict=True)
        ]
        probabilities = model.class_probabilities()
        return {
            "ids": np.array([split.ids[row] for row in rows]),
            "labels": np.asarray(relevance.targets, np.int64),
            "predictions": probabilities.argmax(axis=1),
            "probabilities": probabilities.max(axis=1),
            "densities": np.array([json.dumps(each) for each in densities]),
            **model.evidence(relevance).arrays(),
        }


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
        split.annotated,
        of_labels,
        _FORMAT,
    )
    return cache_directory() / "evidence" / f"{short_digest(repr(what).encode())}.npz"


def _read(path: Path) -> Measured | None:
    """What was kept; None where it is damaged, to be measured again."""
    try:
        with np.load(path) as file:
            return _made_of({name: file[name] for name in file.files})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _made_of(arrays: Mapping[str, NDArray[Any]]) -> Measured:
    return Measured(
        arrays["ids"].tolist(),
        arrays["labels"],
        arrays["predictions"],
        arrays["probabilities"],
        Evidence(arrays["where"], arrays["feature"], arrays["relevance"]),
        [json.loads(each) for each in arrays["densities"].tolist()],
    )
