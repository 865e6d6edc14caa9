"""Builds Rationale's image, tries it, and knows whether this state of it has been tried.

    python image.py build [SUITE…]    rationale:latest from bookworm, the usual; rationale:trixie has Python 3.13;
                                      with CUDA=1 rationale:cuda, rationale:trixie-cuda (docker/Dockerfile.cuda)
    python image.py test [SUITE…]     builds, tries, and keeps in docker/tested.json that it passed, its size and times
    python image.py check             tries unless docker/tested.json knows this state, where an engine can be had

With Docker where its daemon answers, with buildah elsewhere. As root it starts from a Debian bootstrapped from where
this machine's packages come from, otherwise from the engine's debian:SUITE-slim; BASE=IMAGE names another. CAFFE_WHEEL,
as docker/caffe/build.py reads it, saves the build of Caffe: an address, or a path in its folder `prebuilt`.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import debian
from build import ARCHITECTURES, GIVEN, BuildError, architectures, say
from debian import INHERITED, PYTHONS, ROOT
from engines import Buildah, Docker, engine
from trial import try_image
from wheels import make_caffe

HERE = Path(__file__).resolve().parent
TESTED = HERE / "tested.json"
OF_OTHERS = ("Dockerfile.cuda", "compose.yaml", "smoke.sh", TESTED.name)  # what lies beside it in docker/
USUAL = "bookworm"
PAGE = ROOT / "docs" / "docker.md"
BEGIN, END = "<!-- figures: make docker-test -->", "<!-- end of figures -->"
VERSION = re.search(r'"(.+)"', (ROOT / "python/rationale/version.py").read_text().rpartition("__version__")[2])


def inputs() -> list[Path]:
    """What makes the image's environment; the package in it, its models and data are what `make test` tests."""
    named = [ROOT / name for name in (".dockerignore", "constraints.txt", "pyproject.toml")]
    mine = [path for path in HERE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted([*named, *(path for path in mine if path.name not in OF_OTHERS)])


def digest(paths: Iterable[Path]) -> str:
    """SHA-256 over names and contents."""
    found = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{content}  {path.relative_to(ROOT).as_posix()}\n".encode())
    return found.hexdigest()


def build(with_engine: Docker | Buildah, suite: str, *, anew: bool = False) -> str:
    """Builds the image of a suite, without layers of builds before where `anew`; returns its name."""
    version = VERSION[1] if VERSION else ""
    cards = architectures()
    tag = f"rationale:{'-'.join([suite] * (suite != USUAL) + ['cuda'] * bool(cards)) or 'latest'}"
    arguments = {"BASE": base(with_engine, suite), "VERSION": version, "REVISION": _git("rev-parse", "HEAD")}
    origin = _git("config", "remote.origin.url")
    arguments["SOURCE"] = origin if origin.startswith("https://") and "@" not in origin else ""
    if given := os.environ.get(GIVEN):
        arguments[GIVEN] = given
    if cards:
        arguments[ARCHITECTURES] = " ".join(cards)
    with tempfile.TemporaryDirectory(prefix="rationale-secrets-") as folder:
        settings = Path(folder, "pip.conf")
        secrets = {"pip": settings}
        lines = debian.pip_settings()
        if Path(INHERITED[-1]).exists():
            secrets["certificates"] = Path(INHERITED[-1])
            lines = "".join(f"{line}\n" for line in lines.splitlines() if not line.startswith("cert ="))
            lines += f"cert = {debian.CERTIFICATES}\n"
        settings.write_text(lines)
        with_engine.build(HERE / ("Dockerfile.cuda" if cards else "Dockerfile"), tag, arguments, secrets, anew=anew)
    return tag


def base(with_engine: Docker | Buildah, suite: str) -> str:
    """Name of the image to start from; made first where this is root."""
    if named := os.environ.get("BASE"):
        return named
    if os.geteuid() != 0:
        return f"debian:{suite}-slim"
    debian.tools("debootstrap")
    name = f"localhost/bootstrapped:{suite}"
    with_engine.make_base(debian.base(suite), name)
    return name


def test(suites: list[str]) -> dict[str, Any]:
    """Builds and tries the image of every suite; returns what was measured."""
    with_engine, state = engine(), digest(inputs())
    images = {}
    for suite in suites:
        started = time.monotonic()
        say(f"building the image from {suite} with {with_engine.name}")
        tag = build(with_engine, suite, anew=True)
        built = time.monotonic()
        try_image(with_engine, tag)
        images[suite] = {
            "python": PYTHONS[suite],
            "megabytes": round(with_engine.size(tag) / 1e6),
            "build_seconds": round(built - started),
            "trial_seconds": round(time.monotonic() - built),
            "caffe": "given" if os.environ.get(GIVEN) else "built",
        }
        say(f"{tag} passed: {images[suite]}")
    where = {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "engine": with_engine.name, "cores": os.cpu_count()}
    return {"inputs": state, "images": images, "where": where}


def table(kept: dict[str, Any]) -> str:
    """What was measured, in Markdown."""
    rows = ["| from | Python | size | build, Caffe included | trial |", "| --- | --- | --- | --- | --- |"]
    for suite, each in kept["images"].items():
        built = f"{each['build_seconds']} s" + ("" if each["caffe"] == "built" else ", Caffe's wheel given")
        rows.append(f"| {suite} | {each['python']} | {each['megabytes']} MB | {built} | {each['trial_seconds']} s |")
    where = kept["where"]
    note = f"With {where['engine']} on {where['cores']} cores, {where['date']}, from bootstrapped Debians."
    return "\n\n" + "\n".join(rows) + f"\n\n{note}\n\n"


def check() -> int:
    """What CI does: nothing where this state has passed, or where no engine can be had; otherwise a trial."""
    tested = json.loads(TESTED.read_text()) if TESTED.exists() else {}
    if tested.get("inputs") == digest(inputs()):
        say(f"the image was tried in this very state ({tested['where']['date']})")
        return 0
    try:
        engine()
    except BuildError as error:
        say(f"the image is not tried: {error}")
        return 0
    if own := own_wheel():
        os.environ.setdefault(GIVEN, own)
    test([USUAL])
    say("the image passed; `make docker-test` keeps that in docker/tested.json, so that CI need not try it again")
    return 0


def own_wheel() -> str | None:
    """What this machine has built already, as CAFFE_WHEEL, where it fits the usual image."""
    release = platform.freedesktop_os_release().get("VERSION_CODENAME")
    if (release, platform.python_version_tuple()[:2]) != (USUAL, tuple(PYTHONS[USUAL].split("."))):
        return None
    wheel = make_caffe(ROOT / "prebuilt")[0]
    return f"prebuilt/{wheel.name}#sha256={hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    return done.stdout.strip()


def main(arguments: list[str]) -> int:
    command, *suites = arguments or [""]
    unknown = [suite for suite in suites if suite not in PYTHONS]
    if command not in ("build", "test", "check") or unknown or (command == "check" and suites):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if command == "check":
            return check()
        if command == "test":
            kept = test(suites or list(PYTHONS))
            TESTED.write_text(json.dumps(kept, indent=1) + "\n")
            before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
            PAGE.write_text(before + BEGIN + table(kept) + END + rest.partition(END)[2], encoding="utf-8")
            print(f"wrote {TESTED.relative_to(ROOT)}, {PAGE.relative_to(ROOT)}")
            return 0
        with_engine = engine()
        for suite in suites or [USUAL]:
            print(build(with_engine, suite))
        return 0
    except BuildError as error:
        say(f"error: {error}")
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
