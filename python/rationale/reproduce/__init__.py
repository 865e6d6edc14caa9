"""Repeats the experiments: trains, measures, and writes docs/results.md from what was measured."""

import time
from pathlib import Path

from rationale.errors import DataError
from rationale.reproduce.measure import keep
from rationale.reproduce.results import write_results

EXPERIMENTS = ("mnist", "flight", "cub")


def run_experiment(name: str, folder: Path, *, quick: bool = False) -> Path:
    """Runs an experiment, keeping snapshots in `folder`, and returns the path of the results page.

    With `quick`, from the shipped weights: nothing is trained.

    Raises:
        DataError: no experiment has that name.
    """
    if name not in EXPERIMENTS:
        raise DataError(f"no experiment is named {name!r}; there are {', '.join(EXPERIMENTS)}")
    started = time.monotonic()
    if name == "mnist":
        from rationale.reproduce.mnist import reproduce_mnist

        reproduce_mnist(folder / name, quick=quick)
    else:
        from rationale.reproduce.photographs import reproduce_photographs

        reproduce_photographs(name, folder / name, quick=quick)
    if quick:
        keep("reproduce-quick", {name: time.monotonic() - started}, keeping=None)
    return write_results()


__all__ = ["EXPERIMENTS", "run_experiment", "write_results"]
