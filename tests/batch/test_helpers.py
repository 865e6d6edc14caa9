"""Tasks shared with other processes: all done, in order, whoever dies."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from rationale.batch.helpers import MOST, processes_for, shared
from rationale.errors import ImageError
from tests.conftest import ROOT


def squared(number: int) -> tuple[int, int]:
    time.sleep(0.01)
    return number**2, os.getpid()


def make_squared() -> Callable[[int], tuple[int, int]]:
    return squared


def test_several_processes_do_the_tasks_and_results_come_in_order() -> None:
    found = list(shared(range(400), squared, make_squared, helpers=2))
    assert [square for square, _ in found] == [number**2 for number in range(400)]
    who = {pid for _, pid in found}
    assert os.getpid() in who
    assert len(who) > 1
    assert list(shared([], squared, make_squared, helpers=2)) == []
    assert {pid for _, pid in shared(range(3), squared, make_squared, helpers=0)} == {os.getpid()}


def dies_of_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def make_mortal() -> Callable[[int], int]:
    return dies_of_three


def test_what_a_helper_that_died_was_at_is_done_by_another() -> None:
    def patient(number: int) -> int:
        time.sleep(0.2)  # until the helpers are there to take the third
        return number

    assert list(shared(range(20), patient, make_mortal, helpers=2)) == list(range(20))


def fails(number: int, *, error: type[Exception], here: bool) -> int:
    time.sleep(0.02)
    if not here and number > 5:
        raise error("no. 6 is broken")
    return number


def make_failing(error: type[Exception]) -> Callable[[int], int]:
    return partial(fails, error=error, here=False)


@pytest.mark.parametrize(("error", "raised"), [(ImageError, ImageError), (ZeroDivisionError, RuntimeError)])
def test_an_error_comes_back_from_where_it_happened(error: type[Exception], raised: type[Exception]) -> None:
    own = partial(fails, error=error, here=True)
    with pytest.raises(raised, match=r"no\. 6 is broken"):
        list(shared(range(2000), own, partial(make_failing, error), helpers=1))


def cannot_be_made() -> Callable[[int], int]:
    raise ImageError("there is no room for a second network")


def test_what_keeps_a_helper_from_its_work_is_said() -> None:
    with pytest.raises(ImageError, match="no room"):
        list(shared(range(2000), squared, cannot_be_made, helpers=1))


def test_helpers_end_with_who_started_them(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from tests.batch.test_helpers import shared, squared, make_squared\n"
        "if __name__ == '__main__':\n"
        "    for square, pid in shared(range(100_000), squared, make_squared, helpers=1):\n"
        "        print(pid, flush=True)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        helper = next(int(line) for line in running.stdout if int(line) != running.pid)
        running.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{helper}/cmdline").exists() and Path(f"/proc/{helper}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "the helper outlived its parent"
        time.sleep(0.05)


def test_few_parts_are_not_worth_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rationale.batch.helpers.available_cores", lambda: 64)
    assert [processes_for(parts) for parts in (0, 1, 5, 6, 9, 10_000)] == [1, 1, 1, 2, 3, MOST]
    monkeypatch.setattr("rationale.batch.helpers.available_cores", lambda: 1)
    assert processes_for(10_000) == 1
