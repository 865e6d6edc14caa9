"""--gpu where no card is: one line and exit code 2, whatever command it was given to."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from rationale.cli.app import app
from rationale.network import device

COMMANDS = {
    "explain": ["explain", "digit.png"],
    "batch heatmaps": ["batch", "heatmaps", "--model", "mnist"],
    "serve": ["serve", "--port", "0"],
    "train classifier": ["train", "classifier", "--model", "mnist"],
    "train explainer": ["train", "explainer", "--model", "flight"],
    "evaluate heatmaps": ["evaluate", "heatmaps", "--model", "mnist"],
    "evaluate classifier": ["evaluate", "classifier", "--model", "mnist"],
    "captions make": ["captions", "make", "--out", "captions"],
    "compare": ["compare", "digit.png"],
    "units top": ["units", "top", "--model", "mnist"],
    "units stimuli": ["units", "stimuli", "--model", "mnist", "--layer", "conv1"],
}


def offering_gpu() -> set[str]:
    """Every command that has the option."""
    found = set()

    def look(command: object, path: tuple[str, ...]) -> None:
        for name, below in getattr(command, "commands", {}).items():
            look(below, (*path, name))
        if any("--gpu" in getattr(each, "opts", ()) for each in getattr(command, "params", ())):
            found.add(" ".join(path))

    look(typer.main.get_command(app), ())
    return found


def test_the_work_of_hours_takes_a_card() -> None:
    assert {"batch heatmaps", "serve", "train classifier", "train explainer", "explain"} <= offering_gpu()


@pytest.mark.skipif(device.card_count() > 0, reason="there is a card here")
@pytest.mark.parametrize("command", sorted(offering_gpu()))
def test_without_a_card_one_line_says_so(command: str, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((28, 28), np.uint8)).save(tmp_path / "digit.png")
    program = [str(Path(sys.executable).with_name("rationale")), *COMMANDS.get(command, command.split()), "--gpu", "0"]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("rationale: GPU 0 was asked for, but ")
