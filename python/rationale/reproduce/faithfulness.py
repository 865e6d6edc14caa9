"""Faithfulness of sentences: linked, unlinked and shuffled, measured on the test split and kept for docs/results.md."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rationale.captions import Source, spoken_of
from rationale.captions.measured import Measured, measured, view_regions
from rationale.datasets import Split
from rationale.errors import ModelError
from rationale.evaluation.faithfulness import Said, Trials
from rationale.explainer.explainer import Explainer, Sentence
from rationale.model import Model
from rationale.network import SequenceNetwork
from rationale.reproduce.measure import keep
from rationale.reproduce.sentences import measure, unlinked_lessons
from rationale.training.explainer import train_explainer

Figures = dict[str, Any]
Report = Callable[[str, int, int], None]

PICTURES = 60
KINDS = ("linked", "unlinked", "shuffled")


def reproduce_faithfulness(
    name: str,
    folder: Path,
    pictures: int = PICTURES,
    report: Report = lambda kind, done, total: None,
) -> Figures:
    """Measures the shipped generator, its twin that learnt from unlinked captions, and sentences of other pictures.

    Args:
        name: of the model, whose generator is shipped.
        folder: where the twin is, or is trained.
        pictures: of the test split, evenly.
        report: called with the kind, pictures done, and their number.

    Raises:
        ModelError: the model has no trained explainer.
    """
    model = Model.load(name)
    if model.explainer is None:
        raise ModelError(f"model {name!r} has no trained explainer; `rationale train explainer` makes one")
    dataset, source = spoken_of(model)
    split = dataset.split("test")
    known = measured(model, split, source, of_labels=False)
    rows = np.unique(np.linspace(0, len(split) - 1, min(pictures, len(split))).round().astype(int)).tolist()
    labels = {row: int(known.labels[row]) for row in rows}
    trials = Trials(model, split, lambda row: _regions(model, source, split, row))
    twin = _twin(model, folder)
    order = np.random.default_rng(1).permutation(len(known))
    how = model.explainer_settings
    shipped = measure(model, model.explainer, SequenceNetwork.load(how.network, how.weights))
    told = {key: value for key, value in shipped.items() if isinstance(value, float)}
    found: Figures = {"pictures": len(rows), "test": len(split), "shipped": told, "kinds": {}}
    for kind in KINDS:
        explainer = twin if kind == "unlinked" else model.explainer
        seen = {row: int(order[row]) if kind == "shuffled" else row for row in rows}
        said = Said(explainer, _sentences(explainer, known, labels, seen))
        found["kinds"][kind] = trials.measure(said, rows, labels, partial(_tell, report, kind, len(rows)))
    return keep(f"{name}-faithfulness", found)


def _tell(report: Report, kind: str, total: int, done: int) -> None:
    report(kind, done, total)


def _regions(model: Model, source: Source, split: Split, row: int) -> Mapping[str, np.ndarray[Any, np.dtype[np.bool_]]]:
    assert split.parts is not None
    return view_regions(model, source, split.parts[row])


def _twin(model: Model, folder: Path) -> Explainer:
    """The generator that learnt from captions about parts drawn by lot; trained where it is not there."""
    how = model.explainer_settings
    place = folder / "unlinked" / "seed-1"
    lessons = unlinked_lessons(model)
    weights = train_explainer(
        model, place / "explanation", "explanation", lessons=lessons, seed=1, threads=1, shared=place / "shared"
    )
    return Explainer.load(how.step, weights, weights.with_suffix(".json"), width=how.beam, belief=how.belief)


def _sentences(
    explainer: Explainer, known: Measured, labels: Mapping[int, int], seen: Mapping[int, int]
) -> dict[int, Sentence]:
    """The best sentence for each row, of the evidence of the row that is seen instead."""
    found = {}
    for row, label in labels.items():
        (decoded,) = explainer.decoded(known.evidence[[seen[row]]], [label])
        if decoded:
            found[row] = explainer.sentence(decoded[0], label, [(label, 1.0)])
    return found


def faithfulness_table(name: str, figures: Figures) -> tuple[str, list[tuple[str, ...]], str]:
    """Title, rows and remark of the table in docs/results.md."""
    rows: list[tuple[str, ...]] = [
        ("sentences", "class score: named", "as much unnamed", "difference", "words: named", "as much unnamed",
         "difference", "pointing game", "contrasts", "chance")
    ]  # fmt: skip
    columns = (
        "class_named", "class_unnamed", "class_difference", "word_named", "word_unnamed", "word_difference",
        "pointing", "contrast_pointing",
    )  # fmt: skip
    for kind, found in figures["kinds"].items():
        chance = "–" if found["chance"] is None else f"{found['chance']:.3f}"
        rows.append((kind, *(_interval(found[column]) for column in columns), chance))
    said = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in figures["shipped"].items())
    remark = (
        f"The shipped generator on all {figures['test']} test pictures: {said} (as in the tables of five generators; "
        "true: share of sentences whose claims all hold). "
        f"Below, mean over {figures['pictures']} of them with 95 % confidence interval (bootstrap over photographs). "
        "Each part that a sentence names is blurred away; beside it the same area over a visible part that it does not "
        "name. Fall of the score of the predicted class, and of the log-probability (nats) of the words that name the "
        "part, as the generator reads the blurred picture. Pointing game: share of content words whose own heatmap "
        "peaks inside the part that they name; contrasts: against the word that came second; chance: the part's share "
        "of the picture. Linked: the shipped generator; unlinked: one that learnt from captions about parts drawn by "
        "lot; shuffled: the shipped generator's sentences about other photographs."
    )
    return f"{name}: are sentences faithful?", rows, remark


def _interval(values: list[float] | None) -> str:
    return "–" if values is None else f"{values[0]:.2f} ({values[1]:.2f} to {values[2]:.2f})".replace("-", "−")
