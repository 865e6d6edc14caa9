"""Follows the README on a bare Debian: debootstrap, clone, `make demo`, `make test`; writes how long each took.

    sudo python tests/fresh_machine.py [--suite bookworm] [--keep-figures]

The bare system has Python, a compiler, make and git, an empty home and an empty cache. Where packages come from is
taken from the machine that this runs on. With --keep-figures the times go to docs/measurements.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = "ca-certificates,g++,git,make,python3"
sys.path.insert(0, str(ROOT / "docker"))
import debian


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="bookworm")
    parser.add_argument("--keep-figures", action="store_true")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        print("this wants root", file=sys.stderr)
        return 2
    debian.tools("debootstrap")
    with tempfile.TemporaryDirectory(prefix="fresh-", ignore_cleanup_errors=True) as folder:
        system = Path(folder, "system")
        debian.bootstrap(system, arguments.suite, PACKAGES)
        with debian.running(system):
            steps = follow_the_readme(system)
            asked = ["chroot", str(system), "python3", "--version"]
            version = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    print(f"with {version}")
    for step in steps:
        print(f"{step['what']}: {step['seconds']:.1f} s")
    if arguments.keep_figures:
        keep_figures(steps, arguments.suite, version)
    return 0


def follow_the_readme(system: Path) -> list[dict[str, object]]:
    bundle = system / "rationale.bundle"
    subprocess.run(["git", "-C", str(ROOT), "bundle", "create", str(bundle), "HEAD"], check=True, capture_output=True)
    steps: list[dict[str, object]] = []

    def step(what: str, command: str, bar: str = "") -> None:
        print(f"--- {what}", flush=True)
        started = time.monotonic()
        debian.run_inside(system, command, home="/home/new")
        steps.append({"what": what, "seconds": time.monotonic() - started, "bar": bar})

    inside = "cd /home/new/rationale && "
    clone = "mkdir -p /home/new && git clone -q /rationale.bundle /home/new/rationale && "
    step("`git clone` and `make demo`, to the report", clone + inside + "make demo", "8 min")
    step("`make setup` again", inside + "make setup", "5 s")
    step("`make demo` again", inside + "make demo")
    step("`make test`", inside + "make test", "5 min")
    report = system / "home/new/rationale/out/demo/report.html"
    if "<article" not in report.read_text(encoding="utf-8"):
        raise SystemExit("the report shows no picture")
    return steps


def keep_figures(steps: list[dict[str, object]], suite: str, version: str) -> None:
    from rationale.reproduce import write_results
    from rationale.reproduce.measure import keep

    packages = PACKAGES.replace(",", ", ")
    remark = (
        f"On a debootstrapped Debian {suite} with {packages} ({version}), an empty home and an empty cache "
        "(`make fresh`). No mirror is there: tests of flight, CUB and ImageNet's weights are skipped."
    )
    keep("fresh-machine", {"steps": steps, "remark": remark})
    print(f"wrote {write_results()}")


if __name__ == "__main__":
    sys.exit(main())
