"""The examples in docs/visualizer.md are run as they stand."""

import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from tests.conftest import ROOT
from tests.visualizer.server import served

PAGE = (ROOT / "docs" / "visualizer.md").read_text()


def test_the_examples_run(tmp_path: Path, digits: np.ndarray) -> None:
    content = io.BytesIO()
    Image.fromarray(digits[0]).save(content, "PNG")
    (tmp_path / "digit.png").write_bytes(content.getvalue())
    curls = re.findall(r"^\$ (curl .*)$", PAGE, re.MULTILINE)
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with served("--model", "mnist", "--models", "mnist") as server:
        here = server.url("/").rstrip("/")
        by_curl = [
            subprocess.run(
                curl.replace("http://localhost:8080", here).replace("curl", "curl --silent", 1),
                shell=True, cwd=tmp_path, capture_output=True, text=True,
            )
            for curl in curls
        ]  # fmt: skip
        by_python = subprocess.run(
            [sys.executable, "-c", program.replace("http://localhost:8080", here)],
            cwd=tmp_path, capture_output=True, text=True,
        )  # fmt: skip
    one, contrast = by_curl
    assert '"target": "3"' in one.stdout, one.stderr
    assert '"against": null' in one.stdout
    assert '"against": "7"' in contrast.stdout, contrast.stderr
    assert by_python.stdout.startswith("7 "), by_python.stderr


def test_the_keys_on_the_page_are_those_of_its_help() -> None:
    script = (ROOT / "python/rationale/visualizer/page/keyboard.js").read_text()
    keys = re.findall(r'^  \["([^"]+)", "', script, re.MULTILINE)
    assert len(keys) > 8
    for key in keys:
        assert all(part in PAGE for part in key.replace(" or ", " ").split()), key
