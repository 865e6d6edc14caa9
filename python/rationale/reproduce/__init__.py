"""Repeats the experiments: trains, measures, and writes docs/results.md from what was measured."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rationale.errors import DataError
from rationale.reproduce.measure import keep
from rationale.reproduce.results import write_results

EXPERIMENTS = ("mnist", "flight", "cub")


def run_experiments(names: Sequence[str], folder: Path, *, quick: bool = False) -> Iterator[Path]:
    """Runs these experiments, or all, keeping snapshots in `folder`; after each, gives the path of the results page.

    With `quick`, from the shipped weights: nothing is trained.

    Raises:
        DataError: no experiment has one of the names; none is run then.
    """
    if unknown := [name for name in names if name not in EXPERIMENTS]:
        raise DataError(f"no experiment is named {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    for name in names or EXPERIMENTS:
        started = time.monotonic()
        if name == "mnist":
            from rationale.reproduce.mnist import reproduce_mnist

            reproduce_mnist(folder / name, quick=quick)
        else:
            from rationale.reproduce.photographs import reproduce_photographs

            reproduce_photographs(name, folder / name, quick=quick)
        if quick:
            keep("reproduce-quick", {name: time.monotonic() - started}, keeping=None)
        yield write_results()


__all__ = ["EXPERIMENTS", "run_experiments", "write_results"]
