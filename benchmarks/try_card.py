"""Tries a card in one go: the doctor, the tests for cards, a picture explained on both sides, the benchmark.

    python benchmarks/try_card.py                  each with a time limit, its log in out/card; 1 if one failed
    python benchmarks/try_card.py --bundle DIR     packs all of it for a machine without a network

The bundle is this Python with Caffe and what they need, but for CUDA's own libraries, as `part-00`, `part-01` … of at
most 40 MiB. On the machine with the card: cat part-* | tar -xJ && sh card/run.sh. Of CUDA's libraries it takes those
beside the Python that PEERS_PYTHON names, which has torch (zennit is packed), and those in LD_LIBRARY_PATH.
"""

import argparse
import lzma
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PART = 40 << 20  # bytes
MAIN = "import sys; from rationale.cli import main; sys.exit(main())"  # what the command rationale does
WANTED = ("rationale", "caffe", "cupy-cuda13x", "pytest")
OF_THE_SYSTEM = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|cuda)\.so.*|linux-vdso.*)$")
LEFT_OUT = {"__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "site-packages"}
RUN = """#!/bin/sh
# Tries the card with what was packed; PEERS_PYTHON names a Python with torch (default: python3).
here=$(cd "$(dirname "$0")" && pwd)
PEERS_PYTHON=${PEERS_PYTHON:-$(command -v python3)}
export PEERS_PYTHON
cuda=$("$PEERS_PYTHON" - <<'END'
import pathlib, site, sys
places = [*site.getsitepackages(), *sys.path]
print(":".join({str(each) for place in places for each in pathlib.Path(place, "nvidia").glob("*/lib")}))
END
)
export PEERS_LD_LIBRARY_PATH="$LD_LIBRARY_PATH" PEERS_PYTHONPATH="$here/peers"
export LD_LIBRARY_PATH="$here/lib:$cuda:$LD_LIBRARY_PATH"
export PYTHONHOME="$here/python" PYTHONPATH="$here/rationale/python:$here/packages" PYTHONDONTWRITEBYTECODE=1
cd "$here/rationale" && exec "$here/python/bin/python" benchmarks/try_card.py "$@"
"""
BOTH = """
import subprocess, sys, h5py, numpy as np
from pathlib import Path
from PIL import Image, ImageDraw

folder = Path(sys.argv[1])
picture = Image.new("L", (28, 28))
ImageDraw.Draw(picture).line([(7, 6), (20, 6), (11, 22)], fill=255, width=3)
picture.save(folder / "seven.png")
maps = []
for name, more in {"host": [], "card": ["--gpu", "0"]}.items():
    command = [sys.executable, "-c", sys.argv[2], "explain", str(folder / "seven.png"), "--out", str(folder / name)]
    subprocess.run(command + more, check=True)
    maps.append(h5py.File(folder / name / "explanation.h5")["heatmap"][:])
worst = float(np.abs(maps[0] - maps[1]).max() / np.abs(maps[0]).max())
print("largest difference", worst)
sys.exit(worst > 1e-4)
"""


def steps(peers_python: str, folder: Path) -> dict[str, tuple[list[str], int]]:
    """What is tried, by name: the command, and the seconds that it may take."""
    python = sys.executable
    return {
        "doctor": ([python, "-c", MAIN, "doctor"], 60),
        "tests": ([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/lrp/test_on_card.py"], 240),
        "picture": ([python, "-c", BOTH, str(folder), MAIN], 60),
        "benchmark": ([python, "-m", "benchmarks.gpu", "--peers-python", peers_python], 360),
    }


def tried(peers_python: str, folder: Path) -> int:
    """Runs the steps; 1 if one of them failed."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = False
    for name, (command, limit) in steps(peers_python, folder).items():
        started = time.monotonic()
        with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
            try:
                code: object = subprocess.run(command, cwd=ROOT, stdout=log, stderr=log, timeout=limit).returncode
            except subprocess.TimeoutExpired:
                code = f"not done after {limit} s"
        lines = (folder / f"{name}.log").read_text(encoding="utf-8").strip().splitlines() or [""]
        if name == "tests" and code == 0 and " passed" not in lines[-1]:
            code = "nothing was tested"
        word = "ok    " if code == 0 else "failed"
        print(f"{word} {name} ({time.monotonic() - started:.0f} s, {code}): {lines[-1]}", flush=True)
        failed = failed or code != 0
    print(f"logs are in {folder}")
    return int(failed)


# ---- the bundle ------------------------------------------------------------------------------------------------------


def packed(out: Path) -> list[Path]:
    """Writes the parts of a bundle."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rationale-bundle-") as work:
        tree = Path(work, "card")
        _copy_python(tree / "python")
        for each in _closure(WANTED):
            _copy_distribution(each, tree / "packages")
        for each in _closure(["zennit"], alone=True):
            _copy_distribution(each, tree / "peers")
        _copy_checkout(tree / "rationale")
        _copy_libraries(tree)
        (tree / "run.sh").write_text(RUN, encoding="utf-8")
        whole = Path(work, "card.tar.xz")
        with lzma.open(whole, "wb", preset=4) as stream, tarfile.open(fileobj=stream, mode="w") as archive:
            archive.add(tree, "card")
        for old in out.glob("part-*"):
            old.unlink()
        parts = []
        with whole.open("rb") as stream:
            while piece := stream.read(PART):
                parts.append(out / f"part-{len(parts):02}")
                parts[-1].write_bytes(piece)
    return parts


def _copy_python(target: Path) -> None:
    """The interpreter and its own library."""
    library = Path(sysconfig.get_path("stdlib"))
    place = target / "lib" / library.name
    shutil.copytree(library, place, ignore=lambda folder, names: [each for each in names if _is_left_out(each)])
    (target / "bin").mkdir()
    shutil.copy(Path(getattr(sys, "_base_executable", sys.executable)).resolve(), target / "bin/python")


def _is_left_out(name: str) -> bool:
    return name in LEFT_OUT or name.startswith("config-")


def _closure(names: Sequence[str], *, alone: bool = False) -> Iterator[Distribution]:
    """Installed distributions, and unless `alone` those that they ask for; CUDA's own are left to the machine."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in seen or name.startswith("nvidia-"):
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            print(f"not installed here, and left out: {name}", file=sys.stderr)
            continue
        if name != "rationale":  # the checkout has it
            yield found
        asked = [] if alone else [each for each in found.requires or () if "extra ==" not in each]
        waiting += [re.split(r"[\s;<>=!~\[(]", each, maxsplit=1)[0] for each in asked]


def _copy_distribution(found: Distribution, target: Path) -> None:
    for file in found.files or ():
        if ".." in file.parts or "__pycache__" in file.parts or not file.locate().is_file():
            continue
        place = target / str(file)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file.locate(), place)


def _copy_checkout(target: Path) -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if not name.startswith(("docs/images/", "tests/browser/")) and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def _copy_libraries(tree: Path) -> None:
    """What the compiled parts are linked with, but for the system's own libraries and CUDA's."""
    (tree / "lib").mkdir()
    own = {path.name for path in tree.rglob("*.so*")}
    for path in [tree / "python/bin/python", *tree.rglob("*.so"), *tree.rglob("*.so.*")]:
        for line in subprocess.run(["ldd", str(path)], capture_output=True, text=True).stdout.splitlines():
            name, _, where = line.strip().partition(" => ")
            place = Path(where.split(" (")[0])
            if not place.is_file() or name in own or OF_THE_SYSTEM.match(name) or "nvidia" in place.parts:
                continue
            shutil.copy(place, tree / "lib" / name)


def main() -> int:
    """Tries the card, or packs what tries one elsewhere."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="pack instead of trying")
    parser.add_argument("--out", type=Path, default=ROOT / "out/card", help="where logs go (default out/card)")
    asked = parser.parse_args()
    if asked.bundle is None:
        return tried(os.environ.get("PEERS_PYTHON") or sys.executable, asked.out.resolve())
    for part in packed(asked.bundle):
        print(f"wrote {part} ({part.stat().st_size >> 20} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
