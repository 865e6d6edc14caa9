"""Trains several networks at once, each in a process of its own on one thread, so that each is the same anywhere."""

import multiprocessing
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path

from rationale.cores import available_cores
from rationale.description import Description
from rationale.errors import NetworkError, RationaleError
from rationale.model import Model
from rationale.render.terminal import progress_bar
from rationale.training.classifier import train_classifier
from rationale.training.display import Drawing
from rationale.training.loop import Progress

_PATIENCE = 20  # seconds that an interrupted training has for its snapshot


@dataclass(frozen=True)
class Run:
    """One training: of what, where it keeps its snapshots, and its seed, the solver's own where None."""

    model: Model
    folder: Path
    seed: int | None = None

    @property
    def what(self) -> str:
        """For people."""
        return f"{self.model.name}, {self.folder.name}"


def train_side_by_side(runs: Sequence[Run], *, at_once: int | None = None) -> list[Path]:
    """Trains a classifier for each run and returns the paths of the weights, in the order of the runs.

    Runs that were finished before are not done again; those that were killed go on.

    Args:
        runs: with folders of their own.
        at_once: processes; as many as there are cores where None.

    Raises:
        RationaleError: what went wrong in one of them; the others are stopped and go on when called again.
    """
    waiting = list(enumerate(runs))
    weights: dict[int, Path] = {}
    updates = [(0, 0)] * len(runs)
    working: dict[Connection, tuple[int, SpawnProcess]] = {}
    try:
        with progress_bar(f"training {len(runs)} networks") as advance:
            while waiting or working:
                while waiting and len(working) < (at_once or available_cores()):
                    number, run = waiting.pop(0)
                    working.update(_started(number, run))
                for ready in wait(list(working)):
                    assert isinstance(ready, Connection)
                    number, process = working[ready]
                    message = _received(ready)
                    if isinstance(message, tuple):
                        updates[number] = message
                        done = sum(made for made, _ in updates)
                        advance(done, max(last for _, last in updates) * len(runs), runs[number].what)
                        continue
                    del working[ready]
                    process.join()
                    weights[number] = _weights(message, runs[number], process)
    except KeyboardInterrupt:
        for _, process in working.values():
            process.join(_PATIENCE)
        raise
    finally:
        for _, process in working.values():
            process.terminate()
        for _, process in working.values():
            process.join(_PATIENCE)
            process.kill()
            process.join()
    return [weights[number] for number in range(len(runs))]


def _started(number: int, run: Run) -> dict[Connection, tuple[int, SpawnProcess]]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    model = run.model
    what = (model.name, model.directory, model.description, model.gpu)  # of a model that is not yet loaded
    process = context.Process(target=_train, args=(theirs, what, run.what, run.folder, run.seed), daemon=True)
    process.start()
    theirs.close()
    return {ours: (number, process)}


def _received(connection: Connection) -> object:
    """(updates, of how many) now and then, a path in the end; what went wrong, or None for a process that died."""
    try:
        return connection.recv()
    except EOFError:
        return None


def _weights(message: object, run: Run, process: SpawnProcess) -> Path:
    """The path that a training ended with, or the error that it ended with instead."""
    if isinstance(message, RationaleError):
        raise message
    if not isinstance(message, Path):
        raise NetworkError(f"{run.what}: the training ended with {message or process.exitcode}")
    return message


def _train(
    connection: Connection,
    model: tuple[str, Path, Description, int | None],
    what: str,
    folder: Path,
    seed: int | None,
) -> None:
    """In the new process: trains, and tells how far it is."""
    parent = multiprocessing.parent_process()
    drawing = Drawing(what, folder)

    def report(progress: Progress, last: int) -> None:
        if parent is not None and not parent.is_alive():
            raise KeyboardInterrupt  # nobody waits for the result; what was learnt is kept
        drawing(progress)
        connection.send((progress.iteration, last))

    try:
        connection.send(train_classifier(Model(*model), folder, report, seed=seed, threads=1))
    except RationaleError as error:
        connection.send(error)
    except KeyboardInterrupt:
        return
    except Exception:
        with suppress(OSError):
            connection.send(traceback.format_exc())
