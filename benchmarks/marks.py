"""The places in the documents where benchmarks write their figures."""

from collections.abc import Sequence
from pathlib import Path

from rationale.errors import RationaleError

END = "<!-- end of figures -->"


def begin(command: str) -> str:
    """The mark before what a command writes."""
    return f"<!-- figures: {command} -->"


def write_between(page: Path, begin: str, lines: Sequence[str]) -> None:
    """Puts lines between a mark and the next END in a page, in the place of what is there.

    Raises:
        RationaleError: the page has no such marks.
    """
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, end, after = rest.partition(END)
    if not found or not end:
        raise RationaleError(f"{page}: has no place for figures, between {begin} and {END}")
    page.write_text("\n".join([before + begin, *lines, END + after]), encoding="utf-8")
