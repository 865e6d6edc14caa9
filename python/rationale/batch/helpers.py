"""Further processes on this machine that share the parts of a work with this one, whoever is free taking the next.

For work whose results are files: tasks and what is told of them are small. Whole arrays go through a Dask cluster
(`cluster`), which pays for its start of some seconds only on large sets.
"""

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Generic, TypeVar

from rationale.cores import available_cores
from rationale.errors import RationaleError

Task = TypeVar("Task")
Result = TypeVar("Result")

MOST = 4  # processes, each of which holds a network
_WORTH = 3  # parts that a process does, at least, if it is to make up for its start
_PATIENCE = 10  # seconds in which a helper may end what it has begun


def processes_for(parts: int) -> int:
    """How many processes are worth starting for so many parts."""
    return max(1, min(available_cores(), MOST, parts // _WORTH))


def shared(
    tasks: Sequence[Task], own: Callable[[Task], Result], make: Callable[[], Callable[[Task], Result]], helpers: int
) -> Iterator[Result]:
    """Results of tasks, in their order, each done by this process or by one of its helpers.

    A task whose helper died is done again by another process, and so are all when none of them is left but this one.

    Args:
        tasks: can be pickled where there are helpers.
        own: does a task in this process.
        make: called in each helper, gives what does a task there; can be pickled, and so can results.
        helpers: further processes.

    Raises:
        Exception: what a task raised, wherever it was done.
    """
    table: _Table[Task, Result] = _Table(tasks)
    crew = [_Helper(make, table) for _ in range(min(helpers, len(tasks) - 1))]
    try:
        for number in range(len(tasks)):
            while not table.has(number):
                mine = table.take()
                if mine is None:
                    table.wait_for(number)
                else:
                    table.put(mine, own(tasks[mine]))
            yield table.result(number)
    finally:
        table.close()
        for helper in crew:
            helper.end()


class _Table(Generic[Task, Result]):
    """Tasks that wait and results that came, for several threads."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tasks
        self._waiting = deque(range(len(tasks)))
        self._results: dict[int, Result | Exception] = {}
        self._changed = threading.Condition()

    def take(self) -> int | None:
        """The next task's number; None where none waits."""
        with self._changed:
            return self._waiting.popleft() if self._waiting else None

    def put(self, number: int, result: Result | Exception) -> None:
        with self._changed:
            self._results[number] = result
            self._changed.notify_all()

    def put_back(self, number: int) -> None:
        """For another to take, first of all."""
        with self._changed:
            self._waiting.appendleft(number)
            self._changed.notify_all()

    def close(self) -> None:
        """No task is taken any more."""
        with self._changed:
            self._waiting.clear()

    def has(self, number: int) -> bool:
        with self._changed:
            return number in self._results

    def wait_for(self, number: int) -> None:
        """Until that result is there, or there is a task to take."""
        with self._changed:
            self._changed.wait_for(lambda: number in self._results or self._waiting)

    def result(self, number: int) -> Result:
        with self._changed:
            found = self._results.pop(number)
        if isinstance(found, Exception):
            raise found
        return found


class _Helper(Generic[Task, Result]):
    """A process, and the thread that hands it one task after another."""

    def __init__(self, make: Callable[[], Callable[[Task], Result]], table: _Table[Task, Result]) -> None:
        context = get_context("spawn")  # a copy of this process would hold half of its threads' locks
        self._line, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make), daemon=True)
        self._process.start()
        theirs.close()
        self._thread = threading.Thread(target=self._hand_out, args=(table,), daemon=True)
        self._thread.start()

    def _hand_out(self, table: _Table[Task, Result]) -> None:
        while (number := table.take()) is not None:
            try:
                self._line.send(table.tasks[number])
                table.put(number, self._line.recv())
            except (EOFError, OSError):  # it died
                table.put_back(number)
                return

    def end(self) -> None:
        """Lets it end what it has begun, within reason."""
        self._thread.join(_PATIENCE)
        self._line.close()
        self._process.join(_PATIENCE)
        self._process.terminate()


def _serve(line: Connection, make: Callable[[], Callable[[Task], Result]]) -> None:
    """What a helper does, until who started it is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        work = make()
        with suppress(EOFError):
            while True:
                line.send(_tried(work, line.recv()))
    except Exception as error:
        with suppress(EOFError, OSError):
            line.recv()
            line.send(_to_send(error))


def _tried(work: Callable[[Task], Result], task: Task) -> Result | Exception:
    try:
        return work(task)
    except Exception as error:
        return _to_send(error)


def _to_send(error: Exception) -> Exception:
    """An error that arrives as it is; one of none of our kinds as its whole story."""
    return error if isinstance(error, RationaleError) else RuntimeError(traceback.format_exc())


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
