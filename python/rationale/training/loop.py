"""The loop of every training: updates, curves, snapshots; killed and resumed without changing the result."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from rationale.errors import ModelError, OutputError
from rationale.network import Solver
from rationale.resources import as_json, held, write_whole
from rationale.training.averaging import Average
from rationale.training.interrupts import interrupts_wait, let_interrupts_in

CHECK_EVERY = 1000  # updates between measurements on the validation split, where the solver names no test_interval

Points = list[tuple[int, float]]


@dataclass
class Progress:
    """What has been done so far; kept in progress.json beside the snapshot that it belongs to."""

    iteration: int = 0
    snapshot: str | None = None
    curves: dict[str, Points] = field(default_factory=dict)  # (iteration, mean since the last entry) by name
    seconds: float = 0.0
    since: list[dict[str, float]] = field(default_factory=list)  # what each update since the last entry measured
    run: dict[str, str] = field(default_factory=dict)  # what is trained, on what, and how
    remark: str = ""  # for who watches
    checked: int = 0  # update after which was last measured

    def add(self, name: str, value: float) -> None:
        """A point of a curve, at the present update."""
        self.curves.setdefault(name, []).append((self.iteration, float(value)))


Report = Callable[[Progress, int], None]


def run(
    solver: Solver,
    folder: Path,
    identity: dict[str, str],
    last: int,
    *,
    update: Callable[[int], Mapping[str, float]],
    check: Callable[[Progress], None] = lambda progress: None,
    begin: Callable[[], None] = lambda: None,
    average: Average | None = None,
    report: Report = lambda progress, last: None,
) -> Progress:
    """Updates until `last`, from the last snapshot in `folder` if there is one.

    Ctrl-C and SIGTERM wait for the end of the update, and of its account; the training can go on from there.

    Args:
        solver: with its snapshots in `folder`.
        folder: where snapshots and progress.json are.
        identity: what is trained, on what, and how: a folder belongs to one training.
        last: number of the last update.
        update: makes the update of that number, which depends on nothing but it and the weights, and returns what it
            measured, by the name of the curve.
        check: adds what is measured every test_interval; may let interrupts in, and is then called again.
        begin: called before the first update, for weights to start with.
        average: takes the weights after every update.
        report: called after every tenth update.

    Raises:
        OutputError: the folder holds another training or a longer one, or its snapshot is gone.
        KeyboardInterrupt: it was interrupted; what was learnt is kept.
    """
    progress = _resume(solver, folder, identity, last)
    if progress.snapshot is None:
        begin()
    elif average is not None:
        average.restore(folder / progress.snapshot)
    seed = seed_of(solver)
    every = solver.parameter.snapshot or last
    interval = solver.parameter.test_interval or CHECK_EVERY
    started = time.monotonic() - progress.seconds
    with interrupts_wait():
        try:
            now = progress.iteration
            if progress.checked < now and (now % interval == 0 or now == last):
                check(progress)  # an interrupt came before it
                progress.checked = now
                _save(solver, progress, folder, average)
            while solver.iteration < last:
                solver.seed(seed + solver.iteration)  # dropout, too, depends on nothing but the seed and the iteration
                progress.since.append(dict(update(solver.iteration)))
                if average is not None:
                    average.add(solver)
                now = progress.iteration = solver.iteration
                progress.seconds = time.monotonic() - started
                if now % min(100, interval) == 0 or now == last:
                    for name in dict.fromkeys(name for each in progress.since for name in each):
                        progress.add(name, float(np.mean([each[name] for each in progress.since if name in each])))
                    progress.since.clear()
                let_interrupts_in()
                if now % interval == 0 or now == last:
                    check(progress)
                    progress.checked = now
                if now % every == 0 or now == last:
                    _save(solver, progress, folder, average)
                if now % 10 == 0 or now == last:
                    report(progress, last)
        except KeyboardInterrupt:
            _save(solver, progress, folder, average)
            raise
    return progress


def seed_of(solver: Solver) -> int:
    """The seed that batches are drawn with."""
    return max(int(solver.parameter.random_seed), 0)


def last_update(solver: Solver, path: Path, iterations: int | None) -> int:
    """Number of the last update: what the caller wishes, or the solver's max_iter.

    Raises:
        ModelError: there is none, or the learning rate ends before it.
    """
    end = solver.parameter.max_iter
    last = iterations or end
    if last < 1:
        raise ModelError(f"{path}: max_iter must be at least 1")
    if solver.parameter.lr_policy == "poly" and last > end:
        raise ModelError(f"{path}: its learning rate ends at update {end}, not at {last}")
    return int(last)


@contextmanager
def folder_of_its_own(folder: Path) -> Iterator[None]:
    """Keeps other processes from training in the same folder.

    Raises:
        OutputError: another one does, or the folder cannot be written.
    """
    with held(folder / "lock") as ours:
        if not ours:
            raise OutputError(f"{folder}: another process is training there; choose another --out")
        yield


def _save(solver: Solver, progress: Progress, folder: Path, average: Average | None) -> None:
    """Takes a snapshot; progress.json, replaced in one step, is what makes it count."""
    before = progress.snapshot
    progress.snapshot = solver.snapshot().name
    if average is not None:
        average.save(folder / progress.snapshot)
    write_whole(folder / "progress.json", as_json(asdict(progress)))
    if before is not None and before != progress.snapshot:
        for suffix in (".solverstate", ".caffemodel"):
            (folder / before).with_suffix(suffix).unlink(missing_ok=True)
        Average.remove(folder / before)


def _resume(solver: Solver, folder: Path, identity: dict[str, str], last: int) -> Progress:
    path = folder / "progress.json"
    if not path.exists():
        return Progress(run=identity)
    try:
        progress = Progress(**json.loads(path.read_text(encoding="utf-8")))
        if not isinstance(progress.run, dict) or not isinstance(progress.iteration, int):
            raise TypeError("it is of another kind")
        state = folder / str(progress.snapshot)
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); remove it to start anew") from error
    if not state.is_file() or not state.with_suffix(".caffemodel").is_file():
        raise OutputError(f"{path}: its snapshot {state.name} is gone; remove progress.json to start anew")
    if other := [name for name, value in identity.items() if progress.run.get(name) != value]:
        raise OutputError(f"{folder}: holds another training ({' and '.join(other)} differ); choose another --out")
    if progress.iteration > last:
        raise OutputError(f"{folder}: holds a training of {progress.iteration} updates already, not {last}")
    solver.restore(state)
    return progress
