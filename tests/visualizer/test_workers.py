"""A worker that hangs is replaced, one that kills twice is given up, one that nobody asks is stopped."""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rationale.resources import shared_directory
from rationale.visualizer.frame import Frame
from rationale.visualizer.jobs import Describe, Job, Look
from rationale.visualizer.limits import Limits
from rationale.visualizer.question import Question
from rationale.visualizer.workers import RefusedError, WorkerError, Workers


def workers(**limits: float) -> Workers:
    return Workers({"mnist": str(shared_directory("prototxt") / "mnist")}, None, 1, Limits(**limits))  # type: ignore[arg-type]


def look(number: int = 1) -> Callable[[str], Job]:
    digit = np.zeros((28, 28), np.uint8)
    digit[5:20, 14] = 255
    return lambda name: Look(Frame(number, digit.tobytes(), (28, 28), 1), Question(model="mnist"))


def stopped(pid: object) -> None:
    os.kill(int(str(pid)), signal.SIGSTOP)


def test_a_worker_that_hangs_is_replaced_and_the_picture_answered() -> None:
    async def run() -> list[str]:
        own, told = workers(patience=4), []
        seat = own.seat("mnist")
        await seat.ask(lambda name: Describe(), told.append)
        stopped(seat.state()["process"])
        answer = await seat.ask(look(), told.append)
        own.stop()
        assert answer
        return told

    (notice,) = asyncio.run(run())
    assert "hung" in notice


def test_a_worker_that_dies_between_two_pictures_is_replaced_and_told_of() -> None:
    async def run() -> list[str]:
        own, told = workers(), []
        seat = own.seat("mnist")
        await seat.ask(look(), told.append)
        assert seat._process is not None
        seat._process.process.kill()
        seat._process.process.wait()
        assert await seat.ask(look(), told.append)
        own.stop()
        return told

    (notice,) = asyncio.run(run())
    assert "died" in notice


def test_a_picture_that_stops_two_workers_is_given_up() -> None:
    async def run() -> list[str]:
        own, told = workers(patience=0), []
        with pytest.raises(WorkerError, match="two workers"):
            await own.seat("mnist").ask(look(), told.append)
        own.stop()
        return told

    assert len(asyncio.run(run())) == 2


def test_who_goes_away_in_the_middle_leaves_no_reply_to_others() -> None:
    async def run() -> None:
        own = workers()
        seat = own.seat("mnist")
        await seat.ask(lambda name: Describe(), lambda text: None)
        gone = asyncio.ensure_future(seat.ask(look(), lambda text: None))
        await asyncio.sleep(0)
        gone.cancel()
        answer = await seat.ask(lambda name: Describe(), lambda text: None)
        assert answer is not None
        assert answer.startswith(b'{"name"')
        own.stop()

    asyncio.run(run())


def test_a_worker_that_nobody_asks_is_stopped_and_comes_back() -> None:
    async def run() -> None:
        own = workers(idle=0.0)
        seat = own.seat("mnist")
        await seat.ask(look(), lambda text: None)
        own.stop(only_idle=True)
        assert seat.state()["process"] is None
        assert await seat.ask(look(), lambda text: None)
        own.stop()

    asyncio.run(run())


def test_a_model_that_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('title = "nothing"\n')
    own = Workers({"broken": str(tmp_path)}, None, 1, Limits())
    with pytest.raises(RefusedError, match=r"model\.toml"):
        asyncio.run(own.seat("broken").ask(lambda name: Describe(), lambda text: None))
    own.stop()
