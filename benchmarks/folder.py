"""Times `rationale explain` over a folder of 99 photographs beside the relevance passes alone, in one process.

    python -m benchmarks.folder [--pictures N]

Writes docs/measurements/folder.json and the table in docs/batch.md.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.marks import begin, write_between
from rationale.batch.explanations import Wish, explain_all
from rationale.batch.helpers import processes_for
from rationale.cores import available_cores
from rationale.datasets import load_dataset
from rationale.model import Model
from rationale.network import on_threads
from rationale.reproduce.measure import keep
from tests.browser.conftest import ARGUMENTS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "batch.md"
BEGIN = begin("python -m benchmarks.folder")
ROUNDS = 3


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def export(folder: Path, count: int) -> dict[Path, Path]:
    """Photographs of flight's test split as files."""
    split = load_dataset("flight").split("test")
    found = {}
    for number in range(min(count, len(split))):
        path = folder / f"{number:03}.jpg"
        Image.fromarray(split.images[number]).save(path, quality=92)
        found[path] = Path(path.name)
    return found


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def first_view(page: Path) -> float:
    """Seconds from asking Chromium for a page to its pictures in the window being there."""
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        window = browser.new_page(viewport={"width": 1440, "height": 900})
        begun = time.perf_counter()
        window.goto(page.as_uri(), wait_until="commit")
        while not window.evaluate(
            "document.readyState !== 'loading' && [...document.querySelectorAll('.overview img')]"
            ".filter(each => each.getBoundingClientRect().top < innerHeight)"
            ".every(each => each.complete && each.naturalWidth)"
        ):
            time.sleep(0.01)
        took = time.perf_counter() - begun
        browser.close()
    return took


def measure(count: int) -> dict[str, Any]:
    """All figures; times are the least of some rounds, taken in turn."""
    model = Model.load("flight")
    kinds = {"light": Wish(), "with sentences": Wish(sentences=True), "full": Wish(full=True)}
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place, on_threads(available_cores()):
        (photographs := Path(place) / "photographs").mkdir()
        pictures = export(photographs, count)
        files = list(pictures)
        processes = processes_for(-(-count // model.batch_size))

        def relevance() -> None:
            for _, views in model.batches(files):
                model.relevance(views)

        relevance()  # warm
        for round_ in range(ROUNDS):
            times.setdefault("relevance", []).append(seconds(relevance))
            for kind, wish in kinds.items():
                out = Path(place) / f"{kind}-{round_}"
                took = seconds(partial(explain_all, model, pictures, out, wish, processes=processes))
                times.setdefault(kind, []).append(took)
        outs = {kind: Path(place) / f"{kind}-0" for kind in kinds}
        index = outs["light"] / "report.html"
        return {
            "pictures": len(pictures),
            "processes": processes,
            "seconds": times,
            "ratio": {kind: min(a / b for a, b in zip(times[kind], times["relevance"], strict=True)) for kind in kinds},
            "bytes": {kind: size_of(out) for kind, out in outs.items()},
            "report": index.stat().st_size,
            "first view": min(first_view(index) for _ in range(ROUNDS)),
        }


def table(figures: dict[str, Any]) -> list[str]:
    """The figures as Markdown."""
    count = figures["pictures"]
    lines = [
        f"{count} photographs of flight's test split, {figures['processes']} processes on {available_cores()} cores "
        f"(relevance alone: one, on all of them); times are the least of {ROUNDS} "
        "rounds, ratios the least within a round.",
        "",
        "| | seconds a photograph | to relevance alone | kB a photograph |",
        "| --- | --- | --- | --- |",
        f"| relevance alone, photographs read | {min(figures['seconds']['relevance']) / count:.3f} | 1 | |",
    ]
    lines += [
        f"| `explain`, {kind} | {min(figures['seconds'][kind]) / count:.3f} | {figures['ratio'][kind]:.2f} "
        f"| {figures['bytes'][kind] / count / 1e3:.0f} |"
        for kind in figures["bytes"]
    ]
    return [
        *lines,
        "",
        f"The index of all: {figures['report'] / count / 1e3:.2f} kB a photograph, seen in Chromium "
        f"{figures['first view']:.2f} s after it was asked for.",
    ]


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=99)
    figures = measure(parser.parse_args().pictures)
    keep("folder", figures)
    write_between(PAGE, BEGIN, ["", *table(figures), ""])
    print("\n".join(table(figures)))


if __name__ == "__main__":
    main()
