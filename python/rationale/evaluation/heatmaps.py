"""Measures heatmaps: LRP's composites and the baselines, on the same pictures, by the same yardsticks."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Split
from rationale.errors import OptionError
from rationale.evaluation.flipping import FILLINGS, ORDERS, flip
from rationale.evaluation.localisation import relevance_mass_accuracy, relevance_rank_accuracy
from rationale.evaluation.randomisation import model_randomisation, rank_correlation, structural_similarities
from rationale.gradients.baselines import BASELINES, Heatmaps, has_maps, scores
from rationale.images import Pixels
from rationale.lrp import COMPOSITES, Composite, propagate
from rationale.lrp.start import Classes
from rationale.model import Model
from rationale.network import Network
from rationale.resources import as_json, write_whole

Array = NDArray[np.float32]
Values = dict[str, Any]  # lists of floats, one number a picture, in nested tables

BATCH = 50
YARDSTICKS = 2  # raised when what is measured is defined anew, so that nothing older is taken for it


@dataclass(frozen=True)
class Settings:
    """What is measured, and on how much.

    `pictures` are taken evenly from the split; `region` is the side of what pixel flipping covers at once, a 14th of
    the picture where 0; `steps` is how often it asks the network. Of the first `compared` of them heatmaps are made
    anew with a randomised network, `depths` times from the score down to the input, or after each layer where 0.
    """

    pictures: int = 500
    region: int = 0
    steps: int = 28
    fillings: tuple[str, ...] = tuple(FILLINGS)
    compared: int = 50
    depths: int = 0
    seed: int = 0


def settings_for(model: Model) -> Settings:
    """What is measured unless the caller says otherwise: less on large inputs, where each question costs more."""
    height, width = model.input_size
    if height * width <= 64 * 64:
        return Settings()
    return Settings(pictures=40, steps=10, fillings=("mean", "blur"), compared=8, depths=5)


def methods_of(model: Model) -> dict[str, Heatmaps]:
    """Every way to make a heatmap that can be measured: LRP's composites, the model's own map, and the baselines."""
    composites: dict[str, Composite] = dict(COMPOSITES)
    if model.description.lrp.layers:
        composites[model.composite().name] = model.composite()
    lrp = {name: partial(_lrp, composite=each, bounds=model.bounds) for name, each in composites.items()}
    baselines = dict(BASELINES)
    if not has_maps(model.network, model.target_layer):
        del baselines["Grad-CAM"]
    return {**lrp, **baselines}


def _lrp(
    network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None, **how: Any
) -> Array:
    (name,) = network.inputs
    found = propagate(network, batch, target, target_layer=target_layer, keep=[name], **how)
    return np.asarray(found[name].sum(axis=1))


def heatmaps_of(
    model: Model, view: Pixels, target: int | str | None = None, *, baselines: bool = False
) -> dict[str, Array]:
    """One picture, as `model.view` gives it, under every composite (and every baseline): (H, W) by method."""
    classes = None if target is None else model.class_number(target)
    batch = model.preprocess([view])
    methods = {name: each for name, each in methods_of(model).items() if baselines or name not in BASELINES}
    return {
        name: make(model.network, batch, classes, target_layer=model.target_layer)[0] for name, make in methods.items()
    }


def measure_heatmaps(
    model: Model,
    split: Split,
    folder: Path,
    settings: Settings,
    *,
    names: Collection[str] | None = None,
    random_labels: Network | None = None,
    report: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> dict[str, Values]:
    """Measures every method on pictures of a split, for the classes that the model predicts.

    What was measured is kept in `folder`, one file for each method; a later call measures what is missing.

    Args:
        model: the classifier.
        split: where the pictures come from; localisation wants its `objects`.
        folder: for the measurements.
        settings: what is measured.
        names: of the methods; all where None.
        random_labels: the same network trained on labels dealt out at random, for that sanity check.
        report: called with the methods done, their number, and the one at work.

    Returns:
        By method: `flipping[order][filling]` with `aopc` (one a picture) and `curve` (means), `covered`; `mass` and
        `rank` where the split has objects; `other_class`, ρ with the heatmap of the second
        class; `random_network[layer]` and `random_labels`, |ρ| with that of another network; `ssim_…` likewise.

    Raises:
        OptionError: a method is unknown, or the model has only one class.
    """
    methods = methods_of(model)
    chosen = check_methods(model, names)
    rows = np.unique(np.linspace(0, len(split) - 1, min(settings.pictures, len(split))).astype(int))
    folder.mkdir(parents=True, exist_ok=True)
    run = {
        "fingerprint": model.classifier_fingerprint,
        "split": split.name,
        "pictures_in": split.fingerprint(),
        **asdict(settings),
    }
    run |= {"yardsticks": YARDSTICKS, "random_labels": random_labels is not None, "fillings": list(settings.fillings)}
    found = {}
    for done, name in enumerate(chosen):
        report(done, len(chosen), name)
        path = folder / f"{split.name}-{re.sub('[^a-z0-9]+', '-', name.lower())}.json"
        kept = _kept(path, run)
        if kept is None:
            kept = _measure(model, split, rows, methods[name], settings, random_labels)
            write_whole(path, as_json({"run": run, "values": kept}))
        found[name] = kept
    report(len(chosen), len(chosen), "")
    return found


def check_methods(model: Model, names: Collection[str] | None) -> list[str]:
    """The methods that are asked for, or all.

    Raises:
        OptionError: one is unknown, or the model has only one class, so that there is no other to compare with.
    """
    methods = methods_of(model)
    if unknown := set(names or ()) - set(methods):
        raise OptionError(f"no method is named {sorted(unknown)[0]!r}; there are {', '.join(methods)}")
    if len(model.labels) < 2:
        raise OptionError(f"model {model.name!r} has one class; heatmaps are measured by what sets classes apart")
    return [name for name in methods if names is None or name in names]


def _kept(path: Path, run: Mapping[str, object]) -> Values | None:
    """What an earlier, equal run measured."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content["values"]) if content["run"] == run else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _measure(
    model: Model,
    split: Split,
    rows: NDArray[np.int64],
    method: Heatmaps,
    settings: Settings,
    random_labels: Network | None,
) -> Values:
    layer = model.target_layer
    parts = []
    for number, (chosen, views) in enumerate(model.batches(split.images, rows.tolist(), BATCH)):
        start, batch = number * BATCH, model.preprocess(views)
        outputs = scores(model.network, batch, target_layer=layer)
        first, second = np.argsort(-outputs, axis=1, kind="stable")[:, :2].T
        maps = method(model.network, batch, first, target_layer=layer)
        values = _flipping(model.network, batch, maps, first, layer, settings, start)
        if split.objects is not None:
            masks = np.stack([model.view_mask(split.objects[row]) for row in chosen])
            values["mass"] = relevance_mass_accuracy(maps, masks).tolist()
            values["rank"] = relevance_rank_accuracy(maps, masks).tolist()
        other = method(model.network, batch, second, target_layer=layer)
        values["other_class"] = rank_correlation(maps, other).tolist()  # opposite maps are the best answer there is
        values["ssim_other_class"] = structural_similarities(maps, other).tolist()
        if start < settings.compared:
            few = slice(settings.compared - start)
            again = partial(method, batch=batch[few], target=first[few], target_layer=layer)
            changes = partial(model_randomisation, depths=settings.depths or None)
            values["random_network"] = _lists(changes(model.network, partial(again, model.network)))
            if random_labels is not None:
                values |= _compared("random_labels", maps[few], again(random_labels))
        parts.append(values)
    return _joined(parts)


def _flipping(
    network: Network,
    batch: Array,
    maps: Array,
    classes: NDArray[np.int64],
    layer: str | None,
    settings: Settings,
    start: int,
) -> Values:
    region = settings.region or max(1, round(min(batch.shape[2:]) / 14))
    found: Values = {"flipping": {}, "covered": []}
    for order in ORDERS:
        for filling in settings.fillings:
            result = flip(
                network,
                batch,
                maps,
                classes,
                order=order,
                filling=filling,
                region=region,
                steps=settings.steps,
                target_layer=layer,
                seed=settings.seed + start,
            )
            table = found["flipping"].setdefault(order, {})
            table[filling] = {"aopc": result.aopc().tolist(), "curves": result.curves.tolist()}
            found["covered"] = result.covered.tolist()
    return found


def _compared(name: str, maps: Array, others: Array) -> Values:
    """|ρ| and SSIM of magnitudes: a heatmap that only changed its sign is the same heatmap."""
    return {
        name: np.abs(rank_correlation(maps, others)).tolist(),
        f"ssim_{name}": structural_similarities(np.abs(maps), np.abs(others)).tolist(),
    }


def _lists(arrays: Mapping[str, NDArray[np.float64]]) -> Values:
    return {name: array.tolist() for name, array in arrays.items()}


def _joined(parts: list[Values]) -> Values:
    """The batches' values one after the other; of the curves, the means."""
    joined: Values = {}
    for name in parts[0]:
        each = [part[name] for part in parts if name in part]
        if name == "covered":
            joined[name] = each[0]
        elif name == "curves":
            joined["curve"] = np.concatenate(each).mean(axis=0).tolist()
        elif isinstance(each[0], dict):
            joined[name] = _joined(each)
        else:
            joined[name] = [value for values in each for value in values]
    return joined
