"""What the documents say can be done: docs/python.md runs, and every command in them is one that there is."""

import doctest
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from PIL import Image

from rationale.cli.app import app
from tests.conftest import ROOT

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
COMMAND = re.compile(r"^(?:\$ )?(?:\S*=\S+ )*(?:\.venv/bin/)?(rationale .*)$")


def test_the_examples_in_python_run(digits: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(digits[0]).save("digit.png")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    found = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False, optionflags=flags)
    assert found.attempted > 25
    assert found.failed == 0


def commands(page: Path) -> list[str]:
    """The commands in a page's blocks, and those in its text that are whole commands."""
    found, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside and (match := COMMAND.match(line.split("  #")[0].strip())):
            found.append(match[1])
    text = re.sub(r"(?s)```.*?```", "", page.read_text(encoding="utf-8"))
    return found + [" ".join(each.split()) for each in re.findall(r"`(rationale [^`]+)`", text)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one_that_there_is(page: Path) -> None:
    for command in commands(page):
        if "…" in command:  # of which only the beginning is told
            continue
        wrong = mistake(typer.main.get_command(app), shlex.split(command)[1:])
        assert wrong is None, f"{command}: {wrong}"


def mistake(command: Any, words: list[str]) -> str | None:
    """What is wrong with a command line, nothing of which is run; names of groups alone, as in a text, will do."""
    context = command.make_context("rationale", [], resilient_parsing=True)
    while hasattr(command, "get_command"):
        if not words:
            return None
        name, *words = words
        found = command.get_command(context, name)
        if found is None:
            return f"there is no command {name!r}"
        command, context = found, found.make_context(name, [], resilient_parsing=True)
    known = {option for each in command.params for option in [*each.opts, *each.secondary_opts]} | {"-v", "--verbose"}
    options = [word.split("=")[0] for word in words if word.startswith("-") and len(word) > 1]
    return next((f"there is no option {option}" for option in options if option not in known), None)


def test_there_are_commands_in_the_documents() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 40
