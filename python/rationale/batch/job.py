"""A job: the same work over the pictures of a split, part by part, here or on workers, and resumable.

What is finished lies in a directory of parts (see `parts`); however a job ends, the next run does what is missing.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rationale.batch.cluster import client, compute
from rationale.batch.parts import Parts, opened, threads_of
from rationale.batch.worker import Arrays, Duty, Pictures, Work, work_elsewhere
from rationale.cores import available_cores
from rationale.datasets import Split
from rationale.errors import OptionError
from rationale.model import Model
from rationale.network import on_threads

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Crew:
    """Who does a job: this process, so many worker processes on this machine, or those of a Dask scheduler.

    Attributes:
        threads: of each process; results are equal bit for bit for the same number. Where None, as many as the run
            that is gone on with had; else one with workers, and without as many as there are cores.
        workers: processes on this machine.
        scheduler: address of a Dask scheduler.

    Raises:
        OptionError: both workers and a scheduler are named.
    """

    threads: int | None = None
    workers: int | None = None
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers and self.scheduler:
            raise OptionError("--workers are for this machine, --scheduler names another cluster; give one of them")

    @property
    def is_elsewhere(self) -> bool:
        """Whether other processes do the work."""
        return bool(self.workers or self.scheduler)

    def threads_for(self, folder: Path) -> int:
        """Threads of each process, for a job with its parts in this folder."""
        return self.threads or threads_of(folder) or (1 if self.is_elsewhere else available_cores())


ALONE = Crew()


@dataclass(frozen=True)
class Job:
    """Work over the pictures of a split.

    Attributes:
        model, split: what works, and on what; on workers, the split is of the model's own data set.
        work: gives what is kept of some pictures, and can be pickled where workers are to do it.
        folder: of the parts.
        run: what the results depend on; parts of another run are refused.
        crew: who does it.
        size: pictures of a part; the model's `batch_size` where None. Sums come out the same to the last bit only in
            batches of the same size.
    """

    model: Model
    split: Split
    work: Work
    folder: Path
    run: Mapping[str, str]
    crew: Crew = ALONE
    size: int | None = None

    @contextmanager
    def begun(self, report: Report = lambda done, total: None) -> Iterator[tuple[Parts, Iterator[int]]]:
        """The parts, and the first pictures of those that are done now, as they come; none else may do it meanwhile.

        Args:
            report: called with the pictures done and their number.

        Raises:
            OutputError: the folder belongs to another run, is in use, or cannot be written; workers died.
            OptionError: the workers cannot be had.
        """
        with opened(self.folder, len(self.split), self.size or self.model.batch_size, self.run) as parts:
            yield parts, self._done(parts, report)

    def _done(self, parts: Parts, report: Report) -> Iterator[int]:
        missing = parts.missing()
        done = len(self.split) - sum(len(parts.rows(start)) for start in missing)
        found = self._on_workers(parts, missing) if self.crew.is_elsewhere else self._here(parts, missing)
        for start, arrays in found:
            parts.write(start, arrays)
            done += len(parts.rows(start))
            yield start
            report(done, len(self.split))

    def _here(self, parts: Parts, missing: list[int]) -> Iterator[tuple[int, Arrays]]:
        with on_threads(self.crew.threads_for(self.folder)):
            for start in missing:
                yield start, self.work(self.model, self.split, parts.rows(start))

    def _on_workers(self, parts: Parts, missing: list[int]) -> Iterator[tuple[int, Arrays]]:
        duty = Duty.like(self.model, self.crew.threads_for(self.folder))
        pictures = Pictures.like(self.model, self.split)
        tasks = [(start, (duty, pictures, self.work, list(parts.rows(start)))) for start in missing]
        with client(self.crew.workers, self.crew.scheduler) as connected:
            yield from compute(connected, work_elsewhere, tasks)
