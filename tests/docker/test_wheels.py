"""The scripts that make wheels: what they ask for and refuse before anything is built, and what pip is told."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

sys.path.insert(0, str(ROOT / "docker"))
import debian
import wheels


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, ROOT / "docker/wheels.py", *arguments], capture_output=True, text=True)


def test_what_an_image_installs_is_what_pyproject_says() -> None:
    lines = run("wanted", "web", "charts").stdout.splitlines()
    assert {"numpy>=2.0", "fastapi>=0.115", "matplotlib>=3.9"} <= set(lines)
    assert not [line for line in lines if line.startswith(("rationale", "distributed", "pytest"))]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "python wheels.py all DIR"),
        (["caffe"], "python wheels.py all DIR"),
        (["rationale", "out", "more"], "python wheels.py all DIR"),
        (["all", "/nowhere", "sid"], "no suite 'sid': take bookworm or trixie"),
    ],
)
def test_a_mistake_is_told_before_anything_is_built(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_systems_to_build_in_want_root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(wheels.BuildError, match="want root"):
        wheels.make_all(tmp_path, ["bookworm"])


def test_pips_settings_that_hold_elsewhere_are_passed_on_and_no_folder_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = tmp_path / "pip.conf"
    settings.write_text(
        "[global]\nindex-url = https://mirror.example/simple\nfind-links = /opt/some\nconstraint = /etc/pins.txt\n"
        "extra-index-url = file:///opt/some/simple https://more.example/simple\n"
    )
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(settings))
    monkeypatch.setenv("PIP_INDEX_URL", "https://nearer.example/simple")
    lines = debian.pip_settings().splitlines()
    assert "index-url = https://nearer.example/simple" in lines
    assert "extra-index-url = https://more.example/simple" in lines
    assert not [line for line in lines if "file:" in line or "/opt" in line or "pins" in line]
