"""Times what is known of units: the scan beside bare forward passes, a set of digits, stimuli one by one and together.

    python -m benchmarks.units [--quick]

Writes docs/measurements/units.json and the table in docs/units.md. Ratios are of processor time, in turns, so that what
else the machine does falls on both sides; stimuli are timed over some steps and told for a whole recipe.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.marks import begin, write_between
from rationale.cores import available_cores
from rationale.datasets import Split, dataset_of, split_of
from rationale.model import Model
from rationale.network import on_threads
from rationale.reproduce.measure import keep
from rationale.units import Wanted, layers_of, scan
from rationale.units.recipes import RECIPES
from rationale.units.scan import Look
from rationale.units.stimuli import make_stimuli

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "units.md"
BEGIN = begin("python -m benchmarks.units")
THREADS = available_cores()
TOGETHER = 16


def in_turns(one: Callable[[], object], other: Callable[[], object], rounds: int) -> float:
    """How many times the processor time of the other the one takes; the median over rounds."""
    ratios = []
    for _ in range(rounds):
        times = []
        for work in (one, other):
            began = time.process_time()
            work()
            times.append(time.process_time() - began)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def scan_ratio(name: str, pictures: int, rounds: int) -> dict[str, Any]:
    """The scan of all layers for activation beside reading the same pictures and running them through the network."""
    model = Model.load(name)
    split = dataset_of(model).split("test")
    rows = range(min(pictures, len(split)))
    look = Look(tuple(layers_of(model.network, "all")))

    def bare() -> None:
        for _, views in model.batches(split.images, rows):
            model.network.forward(model.preprocess(views))

    with on_threads(1):  # threads that wait for a core count as work
        bare()
        ratio = in_turns(lambda: look(model, split, rows), bare, rounds)
    return {"model": name, "layers": len(look.layers), "pictures": len(rows), "ratio": ratio}


def first(split: Split, count: int) -> Split:
    """The first pictures of a split."""
    return replace(split, ids=split.ids[:count], images=split.images[:count], labels=split.labels[:count])


def digits(count: int) -> dict[str, Any]:
    """Seconds, from the first picture to the finished store, for so many digits by activation."""
    model = Model.load("mnist")
    split = first(split_of(dataset_of(model), "train+val"), count)
    wanted = Wanted(tuple(layers_of(model.network, "all")), kinds=("top", "spread", "lowest"))
    with tempfile.TemporaryDirectory() as folder:
        wall, processor = time.perf_counter(), time.process_time()
        scan(model, split, Path(folder, "units.h5"), wanted)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return {"pictures": count, "wall": wall, "processor": processor}


def stimuli(layer: str, steps: int) -> dict[str, Any]:
    """Seconds of 500 steps for one unit of SqueezeNet, and of sixteen together as a share of one by one."""
    model = Model.load("flight")
    recipe = replace(RECIPES["blurred"], iterations=steps)

    def made(units: list[int]) -> tuple[float, float]:
        wall, processor = time.perf_counter(), time.process_time()
        make_stimuli(model, layer, units, recipe)
        return time.perf_counter() - wall, time.process_time() - processor

    count = model.network.shape(layer)[1]
    numbers = [unit % count for unit in range(TOGETHER)]
    made(numbers[:1])
    single = [made([0]) for _ in range(3)]
    together = made(numbers)
    scale = RECIPES["blurred"].iterations / steps
    one = statistics.median(wall for wall, _ in single)
    return {
        "layer": layer,
        "wall": one * scale,
        "processor": statistics.median(processor for _, processor in single) * scale,
        "together": together[0] / (TOGETHER * one),
        "together_processor": together[1] / (TOGETHER * statistics.median(processor for _, processor in single)),
    }


def measure(quick: bool) -> dict[str, Any]:
    """All figures."""
    with on_threads(THREADS):
        return {
            "threads": THREADS,
            "scans": [scan_ratio("mnist", 200 if quick else 1000, 5), scan_ratio("flight", 4 if quick else 24, 3)],
            "digits": digits(1000 if quick else 60_000),
            "stimuli": [
                stimuli(layer, 4 if quick else 30)
                for layer in ("fire2/concat", "fire5/concat", "fire9/concat", "evidence")
            ],
            "load": load(),
        }


def load() -> float:
    """How many processes wanted a core in the last five minutes."""
    return float(Path("/proc/loadavg").read_text(encoding="ascii").split()[1])


def table(figures: dict[str, Any]) -> list[str]:
    """The table of docs/units.md."""
    rows = [
        (
            f"scan of all {each['layers']} layers of {each['model']}, one thread, in bare forward passes",
            "≤ 1.15",
            f"{each['ratio']:.2f}",
        )
        for each in figures["scans"]
    ]
    found = figures["digits"]
    rows.append(
        (
            f"{found['pictures']:,} digits, all layers, to the finished store",
            "≤ 60 s",
            f"{found['wall']:.0f} s ({found['processor']:.0f} s of processors)",
        )
    )
    for each in figures["stimuli"]:
        rows.append(
            (
                f"`blurred`, one unit of flight's SqueezeNet, {each['layer']}",
                "≤ 60 s",
                f"{each['wall']:.0f} s ({each['processor']:.0f} s of processors)",
            )
        )
        rows.append(
            (
                f"… {TOGETHER} units together, beside one by one: time, processor time",
                "≤ 0.5",
                f"{each['together']:.2f}, {each['together_processor']:.2f}",
            )
        )
    return ["| | bar | measured |", "| --- | --- | --- |", *(f"| {a} | {b} | {c} |" for a, b, c in rows)]


def write_table(figures: dict[str, Any]) -> None:
    """Puts the figures between their marks in docs/units.md."""
    note = f"On {figures['threads']} cores, on which {figures['load']:.1f} processes were at work on average:"
    write_between(PAGE, BEGIN, ["", note, "", *table(figures), ""])


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds instead of minutes; writes nothing")
    quick = parser.parse_args().quick
    figures = measure(quick)
    print("\n".join(table(figures)))
    if not quick:
        keep("units", figures)
        write_table(figures)
        print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
