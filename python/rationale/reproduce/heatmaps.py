"""Measures a model's heatmaps, draws the charts, and keeps the figures: `rationale evaluate heatmaps`."""

from collections.abc import Collection, Sequence
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np

from rationale.datasets import Dataset, Split, dataset_of
from rationale.datasets.shuffled import ShuffledLabels
from rationale.description import Training
from rationale.evaluation.classification import classify
from rationale.evaluation.estimate import estimate
from rationale.evaluation.heatmaps import Settings, Values, check_methods, measure_heatmaps, methods_of, settings_for
from rationale.gradients.baselines import BASELINES
from rationale.model import Model
from rationale.network import Network
from rationale.render.charts import Dot, Line, dot_chart, line_chart
from rationale.render.terminal import progress_bar
from rationale.reproduce.measure import in_checkout, keep, measurements_directory
from rationale.reproduce.results import mean_aopc, write_results
from rationale.resources import as_json, shared_directory, write_whole
from rationale.training import train_classifier
from rationale.training.display import training_display

MEMORISED = 0.95  # share of randomly labelled pictures that must be learnt by heart (Adebayo et al. 2018)
_RANDOM_PICTURES, _RANDOM_UPDATES, _PATIENCE = 2000, 1000, 50_000
_STALLED, _RISE = 5, 0.01  # so many rounds in which the share right does not rise by so much, and no more are tried
_CURVES = ("gradient", "gradient × input", "integrated gradients", "Grad-CAM", "occlusion", "edges", "random")
_TOLD = {"mass on object": "mass", "other class, ρ": "other_class", "random labels, |ρ|": "random_labels"}

Figures = dict[str, Any]


def evaluate_heatmaps(
    model: Model,
    folder: Path,
    settings: Settings,
    *,
    split: str = "test",
    methods: Collection[str] | None = None,
    random_labels: bool = True,
    images: Split | None = None,
) -> Figures:
    """Measures every method on a split; LRP's composites on the validation split too, for the choice among them.

    Args:
        model: with a data set.
        folder: for measurements and the network trained on random labels; what is there is not done again.
        settings: what is measured.
        split: where it is measured.
        methods: names; all where None.
        random_labels: also compare with a network trained on labels dealt out at random, if the model has a solver
            and is not fine-tuned: weights that begin with another training's know more than these labels.
        images: measured instead of a split of the model's data set; nothing is chosen or trained then.

    Returns:
        Estimates (mean, low, high) by method; see `summarised`.

    Raises:
        ModelError: the model names no data set.
    """
    check_methods(model, methods)
    dataset = dataset_of(model) if images is None else None
    pictures = images or dataset_of(model).split(split)
    memoriser = None
    if dataset is not None and random_labels and _learns_from_nothing(model):
        memoriser = _memoriser(model, dataset, folder / "random-labels")
    with progress_bar(f"measuring on {pictures.name}") as advance:
        found = measure_heatmaps(
            model,
            pictures,
            folder,
            settings,
            names=methods,
            random_labels=memoriser,
            report=advance,
        )
    choice: dict[str, Values] = {}
    if dataset is not None:
        composites = [name for name in methods_of(model) if name not in BASELINES and (not methods or name in methods)]
        with progress_bar("choosing on val") as advance:
            choice = measure_heatmaps(model, dataset.split("val"), folder, settings, names=composites, report=advance)
    figures = summarised(model, pictures.name, found, choice)
    whole = settings == settings_for(model) and list(found) == list(methods_of(model))
    figures["whole"] = whole and (memoriser is not None or not _learns_from_nothing(model))
    figures["ours"] = model.directory.resolve().parent == shared_directory("prototxt").resolve()
    return figures


def _learns_from_nothing(model: Model) -> bool:
    return model.description.files.solver is not None and model.description.training.start is None


def _memoriser(model: Model, dataset: Dataset, folder: Path) -> Network | None:
    """The model's network, trained until it knows the random labels of some training pictures by heart.

    None where it does not learn them: where its share right has not risen for a while, or in the end.
    """
    shuffled = ShuffledLabels(dataset, _RANDOM_PICTURES)
    plain = Model(model.name, model.directory, replace(model.description, training=Training()), model.gpu)
    train = shuffled.split("train")
    right: list[float] = []
    what = f"on random labels, until {MEMORISED:.0%} are known, at most {_PATIENCE:,} updates"
    with training_display(what, folder) as report:
        for updates in range(_RANDOM_UPDATES, _PATIENCE + 1, _RANDOM_UPDATES):
            weights = train_classifier(plain, folder, report, iterations=updates, dataset=shuffled)
            files = model.description.files
            network = Network.load(files.classifier, weights, gpu=model.gpu, stages=files.stages)
            right.append(classify(plain, network, train).accuracy())
            if right[-1] >= MEMORISED:
                return network
            if has_stalled(right):
                break
    print(
        f"random labels were not learnt: {right[-1]:.1%} known after {updates:,} updates, and no more than before; "
        "that check is left out"
    )
    return None


def has_stalled(right: Sequence[float]) -> bool:
    """Whether the share right, measured now and then, is no better than some rounds ago."""
    return len(right) > _STALLED and max(right[-_STALLED:]) < max(right[:-_STALLED]) + _RISE


def summarised(model: Model, split: str, found: dict[str, Values], choice: dict[str, Values]) -> Figures:
    """Means with 95 % intervals of all that was measured, and the composite that did best on the validation split."""
    first = next(iter(found.values()))
    fillings = list(first["flipping"]["MoRF"])
    best = {name: _mean_aopc(values, fillings) for name, values in choice.items()}
    return {
        "model": model.name,
        "title": model.description.title,
        "split": split,
        "pictures": len(first["other_class"]),
        "compared": len(next(iter(first["random_network"].values()))),
        "fillings": fillings,
        "covered": first["covered"],
        "methods": {name: _estimates(values) for name, values in found.items()},
        "baselines": [name for name in found if name in BASELINES],
        "default": model.composite().name,
        "validation_aopc": best,
        "chosen": max(best, key=lambda name: best[name]) if best else None,
    }


def _mean_aopc(values: Values, fillings: Sequence[str]) -> float:
    return float(np.mean([values["flipping"]["MoRF"][filling]["aopc"] for filling in fillings]))


def _estimates(values: Values) -> Figures:
    """The same table with a list of numbers replaced by (mean, low, high); curves as they are."""
    found: Figures = {}
    for name, value in values.items():
        if name in ("curve", "covered"):
            found[name] = [round(each, 5) for each in value]
        elif isinstance(value, dict):
            found[name] = _estimates(value)
        else:
            found[name] = [round(each, 5) for each in astuple(estimate(value))[:3]]
    return found


def table(figures: Figures) -> list[str]:
    """The figures in a few lines, the method whose flipping does best first."""
    methods, fillings = figures["methods"], figures["fillings"]
    found = {f"AOPC, {filling}": {name: _aopc(methods[name], filling) for name in methods} for filling in fillings}
    for text, key in _TOLD.items():
        if key in next(iter(methods.values())):
            found[text] = {name: methods[name][key] for name in methods}
    order = sorted(methods, key=lambda name: -mean_aopc(methods[name], fillings))
    width = max(map(len, order))
    lines = ["  ".join([" " * width, *found])]
    for name in order:
        cells = [f"{values[name][0]:.3f}".rjust(len(text)) for text, values in found.items()]
        lines.append("  ".join([name.ljust(width), *cells]))
    return lines


def publish(figures: Figures, folder: Path) -> list[Path]:
    """Writes figures and charts into `folder`; of a checkout's own models, whole and on test, into docs/ too."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "figures.json"
    write_whole(kept, as_json(figures, indent=1) + "\n")
    written = [kept, *draw_charts(figures, folder)]
    if figures["ours"] and figures["whole"] and figures["split"] == "test" and in_checkout():
        keep(f"{figures['model']}-heatmaps", figures)
        written += [*draw_charts(figures, measurements_directory().parent / "images"), write_results()]
    return written


def draw_charts(figures: Figures, folder: Path) -> list[Path]:
    """Draws all charts as PNG into `folder` and returns their paths."""
    model, methods, fillings = figures["model"], figures["methods"], figures["fillings"]
    note = f"{figures['pictures']} pictures of the {figures['split']} split, means with 95 % bootstrap intervals"
    title = figures["title"]
    lrp = [name for name in methods if name not in figures["baselines"]]
    order = sorted(methods, key=lambda name: -mean_aopc(methods[name], fillings))
    written = [
        dot_chart(
            folder / f"{model}-aopc-{which.lower()}.png",
            f"{title}: how far the decision falls, {text} ({which})",
            {
                f"covered with {filling}": {name: Dot(*_aopc(methods[name], filling, which)) for name in order}
                for filling in fillings
            },
            highlighted=lrp,
            note=f"AOPC; {note}. Red: LRP.",
        )
        for which, text in (("MoRF", "most relevant regions first: more is better"), ("LeRF", "least relevant first"))
    ]
    shown = [name for name in (figures["default"], *_CURVES) if name in methods]
    curves = {
        f"covered with {filling}": {
            name: Line(figures["covered"], methods[name]["flipping"]["MoRF"][filling]["curve"]) for name in shown
        }
        for filling in fillings
    }
    written.append(
        line_chart(
            folder / f"{model}-flipping.png",
            f"{title}: probability of the class while its most relevant regions are covered",
            curves,
            x_label="covered",
            y_label="probability",
            percent=True,
        )
    )
    if "mass" in next(iter(methods.values())):
        panels = {
            text: {name: Dot(*methods[name][key]) for name in order}
            for text, key in (("relevance mass accuracy", "mass"), ("relevance rank accuracy", "rank"))
        }
        path = folder / f"{model}-localisation.png"
        written.append(dot_chart(path, f"{title}: relevance on the object", panels, highlighted=lrp, note=note))
    written += _draw_sanity(figures, folder, order, lrp)
    return written


def _aopc(values: Figures, filling: str, order: str = "MoRF") -> tuple[float, float, float]:
    mean, low, high = values["flipping"][order][filling]["aopc"]
    return mean, low, high


def _draw_sanity(figures: Figures, folder: Path, order: list[str], lrp: list[str]) -> list[Path]:
    model, methods, title = figures["model"], figures["methods"], figures["title"]
    layers = list(methods[order[0]]["random_network"])
    panels: dict[str, dict[str, Line]] = {"LRP": {}, "baselines": {}}
    for name, values in methods.items():
        points = [[1.0, 1.0, 1.0], *values["random_network"].values()]
        mean, low, high = (list(each) for each in zip(*points, strict=True))
        panels["LRP" if name in lrp else "baselines"][name] = Line(range(len(points)), mean, low, high)
    note = f"{figures['compared']} pictures of the {figures['split']} split, means with 95 % bootstrap intervals"
    written = [
        line_chart(
            folder / f"{model}-random-network-{kind.lower()}.png",
            f"{title}: how far heatmaps of {kind} stay as they were while weights are drawn anew",
            {"": rows},
            x_label="randomised down to",
            y_label="|rank correlation| with the original",
            ticks=["none", *layers],
            note=note,
        )
        for kind, rows in panels.items()
        if rows
    ]
    checks = {
        "other class asked, ρ": "other_class",
        "other class asked, SSIM": "ssim_other_class",
        "random labels learnt, |ρ|": "random_labels",
        "random labels learnt, SSIM": "ssim_random_labels",
    }
    sanity = {
        text: {name: Dot(*methods[name][key]) for name in order}
        for text, key in checks.items()
        if key in methods[order[0]]
    }
    path = folder / f"{model}-sanity.png"
    chart_title = f"{title}: how alike heatmaps stay that should differ"
    written.append(dot_chart(path, chart_title, sanity, highlighted=lrp, chance=dict.fromkeys(sanity, 0.0), note=note))
    return written
