"""Installs the Chromium that the tests of the live page drive: on Debian, as root; elsewhere it says what to do."""

import os
import shutil
import subprocess
import sys

COMMAND = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]


def main() -> int:
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


if __name__ == "__main__":
    sys.exit(main())
