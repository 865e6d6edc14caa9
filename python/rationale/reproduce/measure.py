"""Times commands as a user runs them, and notes on what machine that was."""

import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rationale.cores import available_cores
from rationale.network.pycaffe import pycaffe
from rationale.resources import as_json, shared_directory
from rationale.version import __version__


def measurements_directory() -> Path:
    """One JSON file for each thing that was measured: in docs/ of the checkout, otherwise in results/ here."""
    place = shared_directory("data").parent / "docs" if in_checkout() else Path("results")
    return place / "measurements"


def in_checkout() -> bool:
    """Whether this is a checkout of the repository, with docs/ beside data/."""
    return (shared_directory("data").parent / "docs").is_dir()


def keep(name: str, figures: dict[str, Any], keeping: Sequence[str] | None = ()) -> dict[str, Any]:
    """Writes figures, with when and where they were measured, to `measurements_directory`; returns all that is kept.

    What is there already is replaced, but for the entries named in `keeping` (all where None) that `figures` lacks.
    """
    folder = measurements_directory()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    kept = {key: value for key, value in before.items() if keeping is None or key in keeping}
    kept |= figures
    text = as_json({**kept, "where": machine()}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    return {key: value for key, value in kept.items() if key != "where"}


def machine() -> dict[str, str]:
    """Processor, system and versions."""
    names = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": f"{available_cores()} × {names[0] if names else platform.machine()}",
        "system": platform.freedesktop_os_release().get("PRETTY_NAME", platform.system()),
        "versions": ", ".join(
            [
                f"Rationale {__version__}",
                f"Caffe {pycaffe().__version__}",
                f"Python {platform.python_version()}",
                *(f"{name} {version(name)}" for name in ("numpy", "scipy", "h5py", "pillow")),
            ]
        ),
    }


def command(*arguments: str) -> list[str]:
    """A command of this very installation."""
    return [sys.executable, "-c", "from rationale.cli import main; main()", *arguments]


def seconds_to_run(arguments: list[str], times: int) -> dict[str, float]:
    """Median and least wall-clock seconds of a command, start-up included."""
    durations = []
    for _ in range(times):
        started = time.monotonic()
        subprocess.run(arguments, check=True, capture_output=True)
        durations.append(time.monotonic() - started)
    return {"median": statistics.median(durations), "least": min(durations), "runs": times}


def memory_while_running(arguments: list[str]) -> dict[str, float]:
    """Wall-clock seconds of a command and its own memory (MiB) at a third, two thirds and the end of its time.

    Counted is resident anonymous memory; pages of files that it reads belong to the system's cache.
    """
    started = time.monotonic()
    running = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    samples = []
    while running.poll() is None:
        anonymous = [line for line in _lines(f"/proc/{running.pid}/status") if line.startswith("RssAnon:")]
        if anonymous:
            samples.append(int(anonymous[0].split()[1]) / 1024)
        time.sleep(0.05)
    if running.returncode:
        raise subprocess.CalledProcessError(running.returncode, arguments)
    last = len(samples) - 1
    third, two_thirds, end = samples[last // 3], samples[2 * last // 3], samples[max(last - 2, 0)]
    return {"seconds": time.monotonic() - started, "third": third, "two_thirds": two_thirds, "end": end}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
