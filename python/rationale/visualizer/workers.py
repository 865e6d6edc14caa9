"""Keeps one worker process for each model in use; replaces those that die or hang."""

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

from rationale.batch.worker import Duty
from rationale.errors import OptionError, RationaleError
from rationale.visualizer.jobs import REFUSED, Job
from rationale.visualizer.limits import Limits

Notice = Callable[[str], None]
# From a model's name, the newest job of whoever waits, when its turn has come; None: it is not wanted now.
Take = Callable[[str], Job | None]

_ENVIRONMENT = {
    # Freed memory is kept for the next frame: asking the system for it each time costs half as much again.
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_ARENA_MAX": "1",
}


class WorkerError(RationaleError):
    """A worker died or hung over a job, and so did the one that replaced it."""


class RefusedError(RationaleError):
    """A worker's own word on why it does not answer."""


class _GoneError(Exception):
    """The process ended or does not answer."""


class _Process:
    """A running worker."""

    def __init__(self, duty: Duty, most_pixels: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "rationale.visualizer.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # Ctrl-C is the server's, which then stops its workers
            )
        self._line = Connection(ours.detach())
        self._line.send((duty, most_pixels))

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    async def ask(self, job: Job | None, patience: float) -> bytes:
        """The reply to a job; to what came before, where there is none.

        Raises:
            _GoneError: the process died, or did not answer in time, and is stopped.
            RefusedError: it answered with an error.
        """
        # A thread of its own: one that hangs must not keep others of a pool from working.
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()

        def talk() -> None:
            try:
                if job is not None:
                    self._line.send(job)
                reply, failure = self._line.recv_bytes(), None
            except (OSError, EOFError) as error:
                reply, failure = b"", error
            with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                loop.call_soon_threadsafe(_settle, answer, reply, failure)

        threading.Thread(target=talk, daemon=True).start()
        try:
            reply = await asyncio.wait_for(answer, patience)
        except TimeoutError as error:
            self.stop()
            raise _GoneError("hung") from error
        except (OSError, EOFError) as error:
            self.stop()
            raise _GoneError("died") from error
        if reply[:1] == REFUSED:
            raise RefusedError(reply[1:].decode("utf-8", "replace"))
        return reply[1:]

    def stop(self) -> None:
        """Ends the process, which also ends what waits for it."""
        self.process.kill()
        self.process.wait()


def _settle(answer: "asyncio.Future[bytes]", reply: bytes, failure: Exception | None) -> None:
    if answer.done():
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(reply)


class Seat:
    """The place of one model's worker: whoever waits for it is served in turn, by whichever process sits there."""

    def __init__(self, name: str, duty: Duty, limits: Limits) -> None:
        self._name = name
        self._duty = duty
        self._limits = limits
        self._turn = asyncio.Lock()  # first come, first served
        self._process: _Process | None = None
        self._last_used = time.monotonic()
        self.answered = 0
        self.replaced = 0

    async def ask(self, take: Take, notice: Notice) -> bytes | None:
        """The answer to what `take` gives when the worker is free; None where it gives nothing.

        Raises:
            RefusedError: the worker's own word on the job, or on why it cannot start.
            WorkerError: the job stopped two workers.
        """
        # Whoever goes away in the middle must not leave a reply that another would take for its own.
        return await asyncio.shield(asyncio.ensure_future(self._ask(take, notice)))

    async def _ask(self, take: Take, notice: Notice) -> bytes | None:
        async with self._turn:
            job = take(self._name)
            if job is None:
                return None
            for _ in range(2):
                try:
                    process = await self._running(notice)
                    self._last_used = time.monotonic()
                    reply = await process.ask(job, self._limits.patience)
                except _GoneError as gone:
                    self._give_up(str(gone), notice)
                    continue
                self.answered += 1
                return reply
            raise WorkerError("this picture stopped two workers, one after the other; try another one")

    async def _running(self, notice: Notice) -> _Process:
        if self._process is not None and not self._process.alive:
            self._give_up("died", notice)  # between two jobs
        process = self._process
        if process is None:
            process = self._process = _Process(self._duty, self._limits.pixels)
            try:
                await process.ask(None, self._limits.start_patience)  # its first word: ready
            except RefusedError:
                self.stop()
                raise
        return process

    def _give_up(self, what: str, notice: Notice) -> None:
        self._process = None
        self.replaced += 1
        notice(f"the worker for {self._name} {what}; another takes its place")

    def state(self) -> Mapping[str, object]:
        """For people and monitors."""
        running = self._process if self._process is not None and self._process.alive else None
        return {
            "model": self._name,
            "state": "running" if running else "stopped",
            "process": running.process.pid if running else None,
            "answered": self.answered,
            "replaced": self.replaced,
        }

    def stop(self) -> None:
        """Ends the process, if one is there."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def stop_if_idle(self) -> None:
        """Ends a process that nobody asked anything for long."""
        if not self._turn.locked() and time.monotonic() - self._last_used > self._limits.idle:
            self.stop()


class Workers:
    """The seats of all models that are offered; a worker starts when its model is first asked."""

    def __init__(
        self,
        models: Mapping[str, str],
        gpu: int | None,
        threads: int,
        limits: Limits,
        weights: Mapping[str, str | None] | None = None,
    ) -> None:
        """`models` are places by name; `weights` of some of them, instead of their own."""
        others = weights or {}
        self._seats = {
            name: Seat(name, Duty(place, others.get(name), gpu=gpu, threads=threads), limits)
            for name, place in models.items()
        }

    def seat(self, model: str) -> Seat:
        """The seat of a model.

        Raises:
            OptionError: it is not offered.
        """
        if model not in self._seats:
            raise OptionError(f"no model {model!r} is offered here; there are {', '.join(self._seats)}")
        return self._seats[model]

    def states(self) -> list[Mapping[str, object]]:
        """State of every seat."""
        return [seat.state() for seat in self._seats.values()]

    def stop(self, *, only_idle: bool = False) -> None:
        """Ends all processes, or those that nobody asks."""
        for seat in self._seats.values():
            if only_idle:
                seat.stop_if_idle()
            else:
                seat.stop()
