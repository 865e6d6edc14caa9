"""The experiments with photographs, flight and CUB: the classifiers, where they look, and how good the heatmaps are."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from rationale.datasets import Split, dataset_of
from rationale.evaluation.classification import Classification, classify
from rationale.evaluation.estimate import estimate
from rationale.evaluation.heatmaps import settings_for
from rationale.evaluation.regions import Share, measure_regions
from rationale.explainer.speaker import VARIANTS
from rationale.model import Model
from rationale.network import Network
from rationale.render.charts import Dot, dot_chart, matrix_chart, reliability_chart
from rationale.render.terminal import progress_bar
from rationale.reproduce.borders import draw_borders, inverted, most_on_borders
from rationale.reproduce.heatmaps import evaluate_heatmaps, publish
from rationale.reproduce.measure import keep, measurements_directory
from rationale.reproduce.sentences import reproduce_sentences
from rationale.reproduce.speed import photograph_speed
from rationale.training.side_by_side import Run, train_side_by_side

SEEDS = (1, 2, 3)
SHIPPED = "shipped"
PLAIN = "trained with borders as they are"

Figures = dict[str, Any]

_WHOLES = ("object", "background", "border")  # regions that make up a picture; the others are parts of the object


def reproduce_photographs(name: str, folder: Path, *, quick: bool = False) -> None:
    """Repeats a model's experiment; figures go to docs/measurements, charts to docs/images.

    Args:
        name: "flight" or "cub".
        folder: for snapshots and measurements; what is there is not done again.
        quick: from the shipped weights only; nothing is trained, and heatmaps are not compared with other methods.
    """
    images = measurements_directory().parent / "images"
    model = Model.load(name)
    test = dataset_of(model).split("test")
    shipped = _classified(model, model.network, test, "shipped weights")
    figures = classifier_figures(model, shipped)
    if not quick:
        trained = _trained(model, folder)
        figures["seeds"] = [_seed_figures(model, test, trained[seed], seed) for seed in SEEDS]
        keep(f"{name}-classifier", figures)
    else:
        keep(f"{name}-classifier", figures, keeping=("seeds",))
    draw_classifier(model, shipped, images)
    variants = {SHIPPED: model.network}
    if not quick and model.description.training.border:
        variants[PLAIN] = Network.load(model.description.files.classifier, trained[PLAIN])
    found = {text: _shares(model, network, test) for text, network in variants.items()}
    regions = keep(f"{name}-regions", {text: summed_up(shares) for text, shares in found.items()}, keeping=None)
    draw_regions(model, regions, len(test), images)
    if PLAIN in variants:
        shown = {text: (variants[which], found[which]) for text, which in (("before", PLAIN), ("after", SHIPPED))}
        rows = most_on_borders(found[PLAIN])
        draw_borders(model, test, rows, shown, images / f"{name}-borders.png", with_photographs=False)
        draw_borders(model, test, rows, shown, folder / "borders.png", with_photographs=True)
        before = {SHIPPED: shipped, PLAIN: _classified(model, variants[PLAIN], test, PLAIN)}
        keep(
            f"{name}-borders", {text: _with_other_borders(model, variants[text], test, before[text]) for text in before}
        )
    if not quick:
        keep(f"{name}-speed", photograph_speed(model))
        if model.description.explainer is not None:
            reproduce_sentences(name, folder / "sentences", VARIANTS)
        publish(evaluate_heatmaps(model, folder / "heatmaps", settings_for(model)), folder / "heatmaps")


def classifier_figures(model: Model, found: Classification) -> Figures:
    """Accuracy with its interval, balanced accuracy, calibration error, accuracy by class, and confusion."""
    right = found.predictions == found.labels
    return {
        "title": model.description.title,
        "pictures": len(found.labels),
        "accuracy": list(astuple(estimate(right))[:3]),
        "balanced_accuracy": found.balanced_accuracy(),
        "calibration_error": found.calibration_error(),
        "by_class": dict(zip(model.labels, found.accuracy_by_class().tolist(), strict=True)),
        "confusion": found.confusion().tolist(),
    }


def draw_classifier(model: Model, found: Classification, folder: Path, split: str = "test") -> list[Path]:
    """Confusion matrix and reliability diagram as PNG; returns their paths."""
    note = f"{len(found.labels)} {split} pictures"
    title = model.description.title
    confidence, right, counts = (each.tolist() for each in found.reliability())
    error = f"expected calibration error {found.calibration_error():.3f}, {note}"
    return [
        matrix_chart(folder / f"{model.name}-confusion.png", title, found.confusion(), model.labels, note=note),
        reliability_chart(folder / f"{model.name}-calibration.png", title, confidence, right, counts, note=error),
    ]


def draw_regions(model: Model, regions: Mapping[str, Figures], pictures: int, folder: Path) -> Path:
    """How dense relevance is in each region, for each set of weights, as a PNG; returns its path."""
    first = next(iter(regions.values()))
    parts = sorted(set(first) - set(_WHOLES), key=lambda part: -first[part]["density"][0])
    panels = {
        text: {name: Dot(*found[name]["density"]) for name in (*_WHOLES, *parts) if name in found}
        for text, found in regions.items()
    }
    title = f"{model.description.title}: how dense relevance is"
    note = f"share of relevance over share of area, {pictures} test pictures; 1 (line) is chance"
    path = folder / f"{model.name}-regions.png"
    return dot_chart(path, title, panels, highlighted=["border"], chance=dict.fromkeys(panels, 1.0), note=note)


def _classified(model: Model, network: Network, split: Split, what: str) -> Classification:
    with progress_bar(f"classifying, {what}") as advance:
        return classify(model, network, split, lambda done, total: advance(done, total, ""))


def _trained(model: Model, folder: Path) -> dict[int | str, Path]:
    """Weights of each seed, and of photographs as they are, if the model learns with other surroundings."""
    runs: dict[int | str, Run] = {seed: Run(model, folder / f"seed-{seed}", seed) for seed in SEEDS}
    if model.description.training.border:
        runs[PLAIN] = Run(without_borders(model), folder / "borders-as-they-are")
    return dict(zip(runs, train_side_by_side(list(runs.values())), strict=True))


def _seed_figures(model: Model, test: Split, weights: Path, seed: int) -> Figures:
    network = Network.load(model.description.files.classifier, weights)
    found = _classified(model, network, test, f"seed {seed}")
    progress = json.loads((weights.parent / "progress.json").read_text(encoding="utf-8"))
    return {
        "seed": seed,
        "updates": progress["iteration"],
        "seconds": progress["seconds"],
        "accuracy": found.accuracy(),
        "balanced_accuracy": found.balanced_accuracy(),
        "calibration_error": found.calibration_error(),
        "is_shipped": weights.read_bytes() == model.description.files.weights.read_bytes(),
    }


def without_borders(model: Model) -> Model:
    """The model, to be trained on whole photographs with the borders that they have: what the shortcut costs."""
    how = replace(model.description.training, border=0.0, rotate=0.0, zoom=0.0, shift=0.0)
    return Model(model.name, model.directory, replace(model.description, training=how), model.gpu)


def _with_other_borders(model: Model, network: Network, test: Split, before: Classification) -> Figures:
    """What becomes of the decisions when white borders turn black and black ones white."""
    after = _classified(model, network, inverted(test), "borders inverted")
    return {
        "pictures": len(before.labels),
        "accuracy": before.accuracy(),
        "accuracy_inverted": after.accuracy(),
        "balanced_accuracy": before.balanced_accuracy(),
        "balanced_accuracy_inverted": after.balanced_accuracy(),
        "changed": int((before.predictions != after.predictions).sum()),
    }


def _shares(model: Model, network: Network, test: Split) -> list[dict[str, Share]]:
    with progress_bar("where relevance lies") as advance:
        return measure_regions(model, test, network=network, report=lambda done, total: advance(done, total, ""))


def summed_up(found: Sequence[dict[str, Share]]) -> Figures:
    """Mean share of positive relevance, of area, and density of each region, with intervals, over the pictures."""
    names = dict.fromkeys(name for shares in found for name in shares)
    return {name: _region([shares[name] for shares in found if name in shares]) for name in names}


def _region(shares: Sequence[Share]) -> Figures:
    return {
        "pictures": len(shares),
        "relevance": [round(each, 4) for each in astuple(estimate([share.relevance for share in shares]))[:3]],
        "area": round(float(np.mean([share.area for share in shares])), 4),
        "density": [round(each, 4) for each in astuple(estimate([share.density for share in shares]))[:3]],
    }
