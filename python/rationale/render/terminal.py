"""Progress on the terminal."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_SELDOM = 60  # seconds without a line, where there is no terminal

Advance = Callable[[int, int, str], None]  # done, of how many, a remark


@contextmanager
def progress_bar(what: str) -> Iterator[Advance]:
    """A bar on standard error, moved by calling what it yields; without a terminal, a line each tenth or minute."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        task = progress.add_task(what, total=None, note="")
        yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)


def _lines(what: str, console: Console) -> Advance:
    begun = told = time.monotonic()
    first: int | None = None
    shown = (0, 0)  # tenths, of how many

    def advance(done: int, total: int, note: str) -> None:
        nonlocal told, first, shown
        now, tenths = time.monotonic(), (done * 10 // max(total, 1), total)
        if first is None:
            first, shown = done, tenths
        if done == first or (tenths == shown and now - told < _SELDOM):
            return
        shown, told = tenths, now
        left = f", {_duration((now - begun) / (done - first) * (total - done))} left" if done < total else ""
        line = f"{what}: {done} of {total}{left}  {note}"
        console.print(line.rstrip(), highlight=False, soft_wrap=True)

    return advance


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
