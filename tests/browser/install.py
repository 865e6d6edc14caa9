"""Installs what the tests of the live page want: Chromium, on Debian and as root, and axe-core, which finds what keeps
people out of a page, by npm. Where it cannot, it says what to do, and the tests that want it are skipped."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

COMMAND = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
AXE = Path(__file__).resolve().parents[2] / "out" / "browser" / "axe.min.js"
AXE_PACKAGE = "axe-core@4.14.1"
AXE_SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"


def main() -> int:
    return install_chromium() or install_axe()


def install_chromium() -> int:
    if shutil.which("chromium"):
        return 0
    if shutil.which("apt-get") is None:
        print("this is not Debian: install Chromium yourself; without it the tests of the live page are skipped")
        return 0
    if os.geteuid() != 0:
        print(f"Chromium is missing, so that the tests of the live page are skipped; run: sudo {' '.join(COMMAND)}")
        return 0
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], COMMAND):
        done = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL)
        if done.returncode:
            return done.returncode
    return 0


def install_axe() -> int:
    """Puts axe-core's script under out/, where it is checked; the package itself is not kept."""
    if AXE.is_file():
        return 0
    if shutil.which("npm") is None:
        print("npm is missing, so that the tests with axe-core are skipped")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(["npm", "pack", AXE_PACKAGE, "--silent"], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            print(
                f"npm could not fetch {AXE_PACKAGE}, so that the tests with axe-core are skipped: {done.stderr.strip()}"
            )
            return 0
        (package,) = Path(folder).glob("*.tgz")
        with tarfile.open(package) as archive:
            script = archive.extractfile("package/axe.min.js")
            content = script.read() if script else b""
    if hashlib.sha256(content).hexdigest() != AXE_SHA256:
        print(f"{AXE_PACKAGE}: axe.min.js is not the one that was pinned")
        return 1
    AXE.parent.mkdir(parents=True, exist_ok=True)
    AXE.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
