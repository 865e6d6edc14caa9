"""The MNIST experiment: train LeNet, measure it on the test digits, explain all of them, and time it."""

import json
import tempfile
from pathlib import Path

from rationale.datasets import load_dataset
from rationale.datasets.export import export_pictures
from rationale.evaluation.classification import classify
from rationale.evaluation.heatmaps import settings_for
from rationale.explainer.speaker import VARIANTS
from rationale.lrp import COMPOSITES, propagate
from rationale.model import Model
from rationale.network import Network
from rationale.reproduce.heatmaps import evaluate_heatmaps, publish
from rationale.reproduce.measure import command, keep, measurements_directory, memory_while_running, seconds_to_run
from rationale.reproduce.sentences import reproduce_sentences
from rationale.training import train_classifier
from rationale.training.classifier import VALIDATION
from rationale.training.display import training_display


def reproduce_mnist(folder: Path, *, quick: bool = False) -> None:
    """Trains (or goes on training) in `folder`; writes the figures to docs/measurements.

    With `quick` nothing is trained, and heatmaps are not compared with other methods.
    """
    measurements_directory().mkdir(parents=True, exist_ok=True)  # before an hour's work: is there where to write?
    model = Model.load("mnist")
    if not quick:
        _train(model, folder)
        reproduce_sentences("mnist", folder / "sentences", VARIANTS)
        publish(evaluate_heatmaps(model, folder / "heatmaps", settings_for(model)), folder / "heatmaps")
    keep("mnist-conservation", _conservation(model))
    keep("mnist-speed", _speed())


def _train(model: Model, folder: Path) -> None:
    with training_display(model.description.title, folder) as report:
        weights = train_classifier(model, folder, report)
    trained = Network.load(model.description.files.classifier, weights)
    progress = json.loads((folder / "progress.json").read_text(encoding="utf-8"))
    keep(
        "mnist-classifier",
        {
            "shipped": _test_figures(model, model.network),
            "retrained": _test_figures(model, trained),
            "identical": weights.read_bytes() == model.description.files.weights.read_bytes(),
            "updates": progress["iteration"],
            "training_seconds": progress["seconds"],
            "validation_accuracy": progress["curves"][VALIDATION][-1][1],
        },
    )


def _test_figures(model: Model, network: Network) -> dict[str, float]:
    test = load_dataset("mnist").split("test")
    right = int((classify(model, network, test).predictions == test.labels).sum())
    return {"right": right, "of": len(test), "accuracy": right / len(test)}


def _conservation(model: Model) -> dict[str, float]:
    """Largest residual of any layer over the test digits, as a share of f(x), for each composite."""
    test = load_dataset("mnist").split("test")
    largest = dict.fromkeys(COMPOSITES, 0.0)
    for _, views in model.batches(test.images):
        batch = model.preprocess(views)
        for name in COMPOSITES:
            found = propagate(model.network, batch, composite=name, bounds=model.bounds, keep=["data"])
            largest[name] = max(largest[name], found.ledger.largest_residual())
    return largest


def _speed() -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory(prefix="rationale-") as name:
        folder = Path(name)
        (digit, *_) = export_pictures(load_dataset("mnist"), "test", 1, folder)
        explain = command("explain", str(digit), "--model", "mnist", "--out", str(folder / "out"))
        heatmaps = command(
            *("batch", "heatmaps", "--no-sentence", "--composite", "epsilon-plus", "--out", str(folder / "all.h5"))
        )
        return {"explain_one": seconds_to_run(explain, 11), "explain_test_set": memory_while_running(heatmaps)}
