"""What an image must do, tried as a user would: explain, fetch, refuse, serve, and leave files that are the user's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from debian import INHERITED, BuildError, pip_settings
from engines import Buildah, Docker, Mounts

FORKED = Path(__file__).with_name("forked.py")
SOMEONE = 12345  # a user whom the image does not know
OWN = 1000  # the image's


def try_image(engine: Docker | Buildah, tag: str) -> None:
    """Tries everything.

    Raises:
        BuildError: what does not work.
    """
    _is_labelled(engine, tag)
    _is_bare(engine, tag)
    _works_in_a_forked_child(engine, tag)
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory(prefix="rationale-image-") as folder:
        os.chmod(folder, 0o755)
        settings = Path(folder, "pip.conf")
        settings.write_text(pip_settings())
        cache = Path(folder, "cache")
        network: dict[Path, str] = {settings: "/etc/pip.conf", cache: "/cache"}
        if Path(INHERITED[-1]).exists():
            network[Path(INHERITED[-1])] = INHERITED[-1]
        photos = Path(folder, "photos")
        user = SOMEONE if root else os.getuid()
        for each in (photos, cache):
            each.mkdir()
            if root:
                os.chown(each, user, user)
        _explains(engine, tag, photos, user, network)
        if root:
            _doctor_finds_the_wrong_user(engine, tag, photos)
    _serves(engine, tag)


def _is_labelled(engine: Docker | Buildah, tag: str) -> None:
    config = engine.config(tag)
    labels = config["Labels"]
    for name in ("licenses", "version", "revision", "source"):
        _must(f"org.opencontainers.image.{name}" in labels, f"there is no label {name}")
    _must(bool(labels["org.opencontainers.image.version"]), "the label of the version is empty")
    _must(bool(config.get("Healthcheck")), "there is no health check")


def _is_bare(engine: Docker | Buildah, tag: str) -> None:
    """No root, no compiler, no settings of the machine that built it."""
    who = engine.run(tag, "-u", entrypoint="id")
    _must(who.stdout.strip() == str(OWN), f"its user is {who.stdout.strip() or who.stderr}")
    script = (
        "for each in gcc g++ cc cmake make git; do command -v $each; done; ls /etc/pip.conf /etc/ssl/machine.crt /build"
    )
    found = engine.run(tag, "-c", script, entrypoint="sh").stdout.strip()
    _must(not found, f"what builds is left in it: {found}")


def _explains(engine: Docker | Buildah, tag: str, photos: Path, user: int, network: Mounts) -> None:
    mounts = {photos: "/photos", **network}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return engine.run(tag, *arguments, user=f"{user}:{user}", mounts=mounts)

    doctor = run("doctor")
    _must(doctor.returncode == 0 and "BAD" not in doctor.stdout, f"doctor says:\n{doctor.stdout}{doctor.stderr}")
    fetched = run("data", "export", "mnist", "--split", "test", "--each", "1", "--out", "digits")
    _must(fetched.returncode == 0, f"MNIST cannot be fetched: {fetched.stderr}")
    done = run("explain", "digits/7-test-00000.png")
    _must("7-test-00000.png: 7 (" in done.stdout, f"a seven is not explained: {done.stdout}{done.stderr}")
    left = [path for path in photos.rglob("*") if path.stat().st_uid != user]
    _must((photos / "explained" / "report.html").is_file(), "the report is not where it belongs")
    _must(not left, f"files are left that are not the user's: {left}")
    wrong = run("explain", "nothing.png")
    said = [
        line for line in wrong.stderr.splitlines() if not line.startswith(("subprocess", "Error:"))
    ]  # buildah's own
    plain = wrong.returncode == 2 and [line[:22] for line in said if line] == ["rationale: nothing.png"]
    _must(plain, f"a wrong file is not told plainly: {wrong.returncode}, {wrong.stderr}")
    measured = run("reproduce", "mnist", "--quick")
    _must(measured.returncode == 0, f"the experiment does not run: {measured.stderr}")
    kept = photos / "results" / "measurements" / "mnist-conservation.json"
    _must(kept.is_file() and "epsilon-plus" in json.loads(kept.read_text()), "the experiment has no results")
    _must((photos / "results" / "results.md").stat().st_uid == user, "the experiment's results are not the user's")


def _works_in_a_forked_child(engine: Docker | Buildah, tag: str) -> None:
    """Threads do not survive a fork: Caffe must find the OpenMP that came with it to say so."""
    done = engine.run(tag, "-c", FORKED.read_text(), entrypoint="python")
    _must("a forked child ended with 0" in done.stdout, f"a forked child does not work: {done.stdout}{done.stderr}")


def _doctor_finds_the_wrong_user(engine: Docker | Buildah, tag: str, photos: Path) -> None:
    done = engine.run(tag, "doctor", mounts={photos: "/photos"})
    advice = f"--user {SOMEONE}:{SOMEONE}"
    _must(done.returncode == 1 and advice in done.stdout, f"doctor does not say {advice}:\n{done.stdout}{done.stderr}")


def _serves(engine: Docker | Buildah, tag: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with engine.serving(tag, port) as page:
        limit = time.monotonic() + 60
        while "#token=" not in page.said():
            _must(time.monotonic() < limit, f"the server does not say where it is: {page.said()}")
            time.sleep(0.3)
        address = next(line for line in page.said().splitlines() if "#token=" in line)
        _must(address.startswith("http://localhost:"), f"the address is of no use outside: {address}")
        token = address.partition("#token=")[2].strip()
        _must(page.ask("/") == 200, "the page does not come")
        _must(page.ask("/api/models") == 401, "the server answers without its token")
        _must(page.ask("/api/models", token) == 200, "the server does not know its token")
        health = engine.config(tag)["Healthcheck"]["Test"]
        _must(page.inside(*health[1:]) == 0, "the health check finds a healthy server ill")
    _must(page.ask("/") == 0, "the server is still there")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BuildError(f"the image: {otherwise}")
