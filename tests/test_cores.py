"""Threads beyond what a container may use only wait for each other; these are the files that say how many it may."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rationale.cores import available_cores, follow_limits

V2 = "31 24 0:27 {top} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate"
V1 = "33 24 0:30 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))


def system(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    for name, text in {"proc/self/cgroup": groups, "proc/self/mountinfo": "\n".join(mounts), **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_without_control_groups_the_affinity_counts(tmp_path: Path) -> None:
    assert available_cores(tmp_path) == 8


@pytest.mark.parametrize(("limit", "cores"), [("max 100000", 8), ("200000 100000", 2), ("150000 100000", 2)])
@pytest.mark.parametrize("group", ["/", "/kubepods/pod1/container"])
def test_a_quota_of_version_2(tmp_path: Path, limit: str, cores: int, group: str) -> None:
    files = {f"sys/fs/cgroup{group}/cpu.max": limit}
    assert available_cores(system(tmp_path, f"0::{group}", [V2.format(top="/")], files)) == cores


def test_the_least_quota_of_all_groups_above_counts(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/slice/cpu.max": "300000 100000",
        "sys/fs/cgroup/slice/job/cpu.max": "50000 10000",
        "sys/fs/cgroup/slice/job/step/cpu.max": "max 100000",
    }
    assert available_cores(system(tmp_path, "0::/slice/job/step", [V2.format(top="/")], files)) == 3


@pytest.mark.parametrize(("quota", "cores"), [("-1", 8), ("400000", 4), ("1000", 1), ("9900000", 8)])
def test_a_quota_of_version_1_in_a_container_that_sees_its_own_group_only(
    tmp_path: Path, quota: str, cores: int
) -> None:
    """The mount shows /docker/abc; the group's path, as seen from outside, must not be looked for below it."""
    folder = "sys/fs/cgroup/cpu,cpuacct"
    files = {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": "100000"}
    groups = "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n0::/docker/abc"
    assert available_cores(system(tmp_path, groups, [V1.format(top="/docker/abc")], files)) == cores


def test_the_system_that_this_runs_on_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= available_cores() <= 8


def test_every_thread_of_a_command_runs_on_what_the_process_may_use() -> None:
    """With one core of several allowed, `doctor` says one; OpenMP's own count would follow, a quota only through us."""
    core = min(os.sched_getaffinity(0))
    command = [sys.executable, "-c", "from rationale.cli import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    assert "1 core to work on" in done.stdout


def test_libraries_follow_unless_the_user_said_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    follow_limits()
    assert os.environ["OMP_NUM_THREADS"] == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    follow_limits()
    assert os.environ["OMP_NUM_THREADS"] == str(available_cores())
