"""How many cores this process may keep busy: those it is allowed to run on, and no more than its container pays for."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available_cores(root: Path = Path("/")) -> int:
    """Cores of the process's affinity, or the CPU quota of its control groups (v1, v2), rounded up, if that is less.

    Args:
        root: of the file system with /proc and /sys.
    """
    allowed = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min([allowed, *_quotas(root)])))


def follow_limits() -> None:
    """Lets the libraries that are yet to be loaded start no more threads, unless the user has said how many."""
    os.environ.setdefault("OMP_NUM_THREADS", str(available_cores()))  # of OpenMP and, where it lacks its own, OpenBLAS


def _quotas(root: Path) -> Iterator[float]:
    """Of the process's group and of every one above it that can be seen, in cores."""
    groups = _groups(root)
    for mount, top, kind in _mounts(root):
        if kind not in groups:
            continue
        group = groups[kind]
        inside = group.relative_to(top) if group.is_relative_to(top) else PurePosixPath()
        place = root / mount.relative_to("/")
        for each in (inside, *inside.parents):
            yield from _quota_v2(place / each) if kind == "" else _quota_v1(place / each)


def _groups(root: Path) -> dict[str, PurePosixPath]:
    """Path of the process's group for the controller "cpu" (v1) and for "", which is v2."""
    found = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        for each in {"cpu", ""}.intersection(controllers.split(",")):
            found[each] = PurePosixPath(path)
    return found


def _mounts(root: Path) -> Iterator[tuple[PurePosixPath, PurePosixPath, str]]:
    """Where control groups are mounted, which group lies there, and the controller: "cpu" of v1, "" of v2."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        _, _, _, top, mount, *_ = before.split(" ")
        kind, *_, options = after.split(" ")
        if kind == "cgroup2" or (kind == "cgroup" and "cpu" in options.split(",")):
            yield PurePosixPath(mount), PurePosixPath(top), "" if kind == "cgroup2" else "cpu"


def _quota_v2(group: Path) -> Iterator[float]:
    for line in _lines(group / "cpu.max"):
        quota, period = line.split()
        if quota != "max":
            yield int(quota) / int(period)


def _quota_v1(group: Path) -> Iterator[float]:
    for quota, period in zip(_lines(group / "cpu.cfs_quota_us"), _lines(group / "cpu.cfs_period_us"), strict=False):
        if int(quota) > 0:
            yield int(quota) / int(period)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
