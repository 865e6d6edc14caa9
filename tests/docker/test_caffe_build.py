"""The script that builds Caffe: its cache key, its pins, and what it says when something is missing."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT


def test_the_key_follows_everything_the_wheel_is_built_from(build: ModuleType) -> None:
    keys = {build.build_key()}
    assert keys == {build.build_key()}
    for path in ("CMakeLists.txt", "pyproject.toml", "source.toml", "patches/0002-failed-check-raises.patch"):
        with open(build.HERE / path, "a") as file:
            file.write("\n")
        keys.add(build.build_key())
    shutil.copy(build.patches()[0], build.HERE / "patches" / "9999-more.patch")
    keys.add(build.build_key())
    assert len(keys) == 6


def test_the_installed_wheel_is_the_one_these_files_give(build: ModuleType) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docker/caffe/build.py", "wheel"], capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).parent.name == build.build_key()


def test_a_changed_source_is_refused(build: ModuleType, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "src" / "caffe").mkdir(parents=True)
    (tree / "LICENSE").write_text("something else")
    with pytest.raises(build.BuildError, match="SHA-256"):
        build.verify_tree(tree)
    before = build.tree_digest(tree)
    (tree / "LICENSE").rename(tree / "LICENCE")
    (tree / "src" / "caffe" / "LICENSE").write_text("something else")
    assert build.tree_digest(tree) != before


def test_the_second_source_is_tried_when_the_first_fails(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git repository stands in for Caffe's; its commit and digest for the pins."""
    repository = tmp_path / "repository"
    (repository / "src" / "caffe").mkdir(parents=True)
    (repository / "LICENSE").write_text("free")
    (repository / "src" / "caffe" / "net.cpp").write_text("int main() {}")
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "all"]):
        subprocess.run([*git, *arguments], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    pins = {**build.SOURCE, "commit": commit, "forge": {"repository": str(repository)}}
    monkeypatch.setattr(build, "SOURCE", {**pins, "sha256": build.tree_digest(repository)})

    def no_mirror(work: Path, tree: Path) -> None:
        raise build.BuildError("no mirror")

    monkeypatch.setattr(build, "fetch_from_debian", no_mirror)
    tree = build.fetch_source(tmp_path)
    assert (tree / "src" / "caffe" / "net.cpp").read_text() == "int main() {}"
    monkeypatch.setitem(build.SOURCE, "sha256", "0" * 64)
    with pytest.raises(build.BuildError, match=r"no mirror.*\n.*SHA-256"):
        build.fetch_source(tmp_path)


def test_without_root_the_one_command_to_run_is_named(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "missing_packages", lambda: ["libhdf5-dev", "liblmdb-dev"])
    monkeypatch.setattr(build.os, "geteuid", lambda: 1000)
    assert build.main(["packages"]) == 2
    assert "run: sudo apt-get install -y libhdf5-dev liblmdb-dev" in capsys.readouterr().err


def test_nothing_is_installed_when_all_is_there(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("ran a command")

    monkeypatch.setattr(build, "missing_packages", list)
    monkeypatch.setattr(build, "run_logged", never)
    monkeypatch.setattr(build.os, "geteuid", lambda: 1000)
    assert build.main(["packages"]) == 0


def test_a_python_that_is_not_supported_is_refused(
    build: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build.sys, "version_info", (3, 10, 0))
    assert build.main(["wheel"]) == 2
    assert "use 3.11 (Debian 12) or 3.13 (Debian 13)" in capsys.readouterr().err


def test_a_python_without_its_boost_is_refused(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Version(tuple):
        major, minor = 3, 12

    monkeypatch.setattr(build.sys, "version_info", Version((3, 12, 0)))
    with pytest.raises(build.BuildError, match="use the system's own Python"):
        build.check_boost_python()


def test_every_patch_has_one_purpose_a_reason_and_a_number() -> None:
    patches = sorted((ROOT / "docker" / "caffe" / "patches").iterdir())
    assert [path.name[:4] for path in patches] == [f"{number:04}" for number in range(1, len(patches) + 1)]
    for path in patches:
        subject, _, why = path.read_text().split("diff --git")[0].partition("\n\n")
        assert subject
        assert "\n" not in subject
        assert why.startswith("Why: ")
