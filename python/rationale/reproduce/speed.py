"""Times explanations of photographs as a user runs them, against the bare backward pass."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rationale.batch.heatmaps import Heatmaps
from rationale.datasets import Split, dataset_of
from rationale.datasets.export import export_pictures
from rationale.lrp import propagate
from rationale.model import Model
from rationale.network import on_threads
from rationale.reproduce.measure import command, seconds_to_run

ROUNDS = 3

Figures = dict[str, Any]


def photograph_speed(model: Model) -> Figures:
    """Seconds of `explain` on one photograph, and of the test set explained by one process, by two, and by LRP alone.

    All of the test set's ways take turns in each of the rounds, each on one thread for a process; ratios are taken
    within a round, and their medians kept.
    """
    dataset = dataset_of(model)
    test = dataset.split("test")
    with tempfile.TemporaryDirectory(prefix="rationale-") as temporary:
        folder = Path(temporary)
        (photo, *_) = export_pictures(dataset, "test", 1, folder)
        explain = command("explain", str(photo), "--model", model.name, "--out", str(folder / "out"))
        one = seconds_to_run(explain, 11)
        batch = ["batch", "heatmaps", "--no-sentence", "--model", model.name, "--threads", "1", "--out"]
        ways: dict[str, Callable[[str], float]] = {
            "lrp": lambda _: _lrp_alone(model, test),
            "one_process": lambda out: seconds_to_run(command(*batch, out), 1)["least"],
            "two_workers": lambda out: seconds_to_run(command(*batch, out, "--workers", "2"), 1)["least"],
        }
        rounds = [
            {way: measure(str(folder / f"{way}-{number}.h5")) for way, measure in ways.items()}
            for number in range(ROUNDS)
        ]
    return {
        "explain_one": one,
        "pictures": len(test),
        "rounds": ROUNDS,
        **{way: statistics.median(each[way] for each in rounds) for way in ways},
        "batch_over_lrp": statistics.median(each["one_process"] / each["lrp"] for each in rounds),
        "two_workers_gain": statistics.median(each["one_process"] / each["two_workers"] for each in rounds),
    }


def _lrp_alone(model: Model, split: Split) -> float:
    """Seconds that `propagate` takes for the whole split, pictures already read and Caffe warm."""
    composite, layer = model.composite(), model.description.output.target_layer
    seconds = 0.0
    with on_threads(1):
        Heatmaps()(model, split, range(min(model.batch_size, len(split))))
        for _, views in model.batches(split.images):
            batch = model.preprocess(views)
            started = time.monotonic()
            propagate(model.network, batch, composite=composite, bounds=model.bounds, target_layer=layer)
            seconds += time.monotonic() - started
    return seconds
