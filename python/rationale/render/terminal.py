"""Progress on the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int, int, str], None]  # done, of how many, a remark


@contextmanager
def progress_bar(what: str) -> Iterator[Advance]:
    """A bar on standard error, moved by calling what it yields; without a terminal, a line for every tenth."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(what, console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        task = progress.add_task(what, total=None, note="")
        yield lambda done, total, note: progress.update(task, completed=done, total=total, note=note)


def _lines(what: str, console: Console) -> Advance:
    shown = 0

    def advance(done: int, total: int, note: str) -> None:
        nonlocal shown
        tenth = done * 10 // max(total, 1)
        if tenth > shown:
            shown = tenth
            console.print(f"{what}: {done} of {total} {note}".rstrip(), highlight=False)

    return advance
