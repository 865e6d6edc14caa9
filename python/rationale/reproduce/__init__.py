"""Repeats the experiments: trains, measures, and writes docs/results.md from what was measured."""

from collections.abc import Callable
from pathlib import Path

from rationale.errors import DataError
from rationale.reproduce.mnist import reproduce_mnist
from rationale.reproduce.results import write_results

_EXPERIMENTS: dict[str, Callable[[Path], None]] = {"mnist": reproduce_mnist}


def run_experiment(name: str, folder: Path) -> Path:
    """Runs an experiment, keeping snapshots in `folder`, and returns the path of the results page.

    Raises:
        DataError: no experiment has that name.
    """
    if name not in _EXPERIMENTS:
        raise DataError(f"no experiment is named {name!r}; there are {', '.join(_EXPERIMENTS)}")
    _EXPERIMENTS[name](folder / name)
    return write_results()


__all__ = ["run_experiment", "write_results"]
