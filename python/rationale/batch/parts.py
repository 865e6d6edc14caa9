"""The parts of a long run: small files that are whole or not there, so that a kill at any moment loses one at most."""

import json
import os
import shutil
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OutputError
from rationale.resources import as_json, held, write_whole

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Parts:
    """A directory with one file for every `size` of `total` pictures."""

    folder: Path
    total: int
    size: int

    @property
    def starts(self) -> range:
        """First picture of each part."""
        return range(0, self.total, self.size)

    def rows(self, start: int) -> range:
        """Pictures of the part that begins there."""
        return range(start, min(start + self.size, self.total))

    def missing(self) -> list[int]:
        """Parts that are not there yet, by their first picture."""
        return [start for start in self.starts if not self.has(start)]

    def has(self, start: int) -> bool:
        """Whether the part is there."""
        return self._path(start).exists()

    def write(self, start: int, arrays: Arrays) -> None:
        """Keeps a part, in one step."""
        partial = self._path(start).with_suffix(".part")
        with open(partial, "wb") as file:
            plain: dict[str, Any] = dict(arrays)
            np.savez(file, **plain)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, self._path(start))

    def read(self, start: int, names: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
        """A part that is there, or only some arrays of it."""
        try:
            with np.load(self._path(start)) as arrays:
                return {name: arrays[name] for name in arrays.files if names is None or name in names}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise OutputError(f"{self._path(start)}: is damaged ({error}); remove it and start again") from error

    def remove(self) -> None:
        """Removes all of them."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:08}.npz"


@contextmanager
def opened(folder: Path, total: int, size: int, run: Mapping[str, str]) -> Iterator[Parts]:
    """The parts in a directory, which must be of the same run, held against other processes.

    Raises:
        OutputError: they are of another run, damaged, or another process is writing them, or nobody can.
    """
    with held(folder / "lock") as ours:
        if not ours:
            raise OutputError(f"{folder}: another process is writing it")
        _check_run(folder / "run.json", {**run, "part": str(size)})
        yield Parts(folder, total, size)


def threads_of(folder: Path) -> int | None:
    """Threads of the run whose parts are there; None where there are none."""
    if not _has_parts(folder):
        return None
    try:
        return int(json.loads((folder / "run.json").read_text(encoding="utf-8"))["threads"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _has_parts(folder: Path) -> bool:
    return next(folder.glob("*.npz"), None) is not None


def _check_run(path: Path, run: Mapping[str, str]) -> None:
    """What is kept of a run that wrote no part yet binds nobody."""
    if not path.exists() or not _has_parts(path.parent):
        write_whole(path, as_json(run))
    try:
        kept = dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise OutputError(f"{path}: is damaged; remove {path.parent}, or choose another --out") from error
    for key, value in run.items():
        if kept.get(key) != value:
            raise OutputError(
                f"{path.parent}: holds parts of another run ({key} {kept.get(key)!r}, not {value!r}); "
                "remove it, or choose another --out"
            )
