"""The mean of a network's weights over the last updates of its training, which generalises better than the last ones.

Izmailov et al. 2018, "Averaging weights leads to wider optima and better generalization" (stochastic weight averaging).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OutputError
from rationale.network import Solver


class Average:
    """Sums of weights, in float64, so that a resumed training ends in the same mean bit for bit."""

    def __init__(self, first: int) -> None:
        """Takes the weights of every update from number `first` on."""
        self.first = first
        self._count = 0
        self._sums: dict[str, NDArray[np.float64]] = {}

    def add(self, solver: Solver) -> None:
        """Takes the weights as they are after an update, if it is one of the last."""
        if solver.iteration < self.first:
            return
        self._count += 1
        for name, values in solver.weights().items():
            if name in self._sums:
                self._sums[name] += values
            else:
                self._sums[name] = values.astype(np.float64)

    @contextmanager
    def instead(self, solver: Solver) -> Iterator[None]:
        """Lets the solver's network have the mean inside the block, once there is one."""
        if not self._count:
            yield
            return
        before = solver.weights()
        solver.set_weights({name: (sums / self._count).astype(np.float32) for name, sums in self._sums.items()})
        try:
            yield
        finally:
            solver.set_weights(before)

    def save(self, state: Path) -> None:
        """Writes the sums beside a snapshot."""
        path = _beside(state)
        partial = path.with_suffix(f".{os.getpid()}.part")
        arrays: dict[str, Any] = {"count": self._count, **self._sums}
        with open(partial, "wb") as file:
            np.savez(file, **arrays)
        os.replace(partial, path)

    def restore(self, state: Path) -> None:
        """Reads the sums that belong to a snapshot.

        Raises:
            OutputError: they are gone or damaged.
        """
        path = _beside(state)
        try:
            with np.load(path) as file:
                self._sums = {name: file[name] for name in file.files if name != "count"}
                self._count = int(file["count"])
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise OutputError(f"{path}: cannot be read ({error}); remove progress.json to start anew") from error

    @staticmethod
    def remove(state: Path) -> None:
        """Removes the sums beside a snapshot that is no longer needed."""
        _beside(state).unlink(missing_ok=True)


def _beside(state: Path) -> Path:
    return state.with_suffix(".average.npz")
