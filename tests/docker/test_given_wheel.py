"""A wheel that somebody built takes the place of a build: from a path or an address, pinned, and of these patches."""

import hashlib
import re
import shutil
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

NAME = f"caffe-1.0.0-cp{sys.version_info.major}{sys.version_info.minor}-cp311-manylinux_2_34_x86_64.whl"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def a_wheel(folder: Path, recipe: str, name: str = NAME) -> Path:
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("caffe-1.0.0.dist-info/RECIPE", f"{recipe}\n")
    return folder / name


def pin(path: Path) -> str:
    return f"#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("as_address", [False, True])
def test_it_is_taken_from_a_path_and_from_an_address(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_address: bool
) -> None:
    path = a_wheel(tmp_path / "given", build.recipe_key())
    place = path.as_uri() if as_address else str(path)
    monkeypatch.setenv("CAFFE_WHEEL", place + pin(path))
    content = path.read_bytes()
    taken = build.ensure_wheel()
    assert (taken.name, taken.read_bytes()) == (NAME, content)
    if as_address:  # kept: the address is not asked again
        path.unlink()
        assert build.ensure_wheel() == taken


def test_no_library_and_no_compiler_is_wanted_then(build: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"g++", "libhdf5-dev"} <= set(build.needed_packages())
    monkeypatch.setenv("CAFFE_WHEEL", "somewhere")
    assert not [name for name in build.needed_packages() if name not in ("python3-venv",)]


def test_another_file_than_the_pinned_one_is_refused(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_wheel(tmp_path / "given", build.recipe_key())
    for place in (str(path), path.as_uri()):
        monkeypatch.setenv("CAFFE_WHEEL", f"{place}#sha256={'0' * 64}")
        with pytest.raises(build.BuildError, match=f"has SHA-256 {pin(path)[8:]}"):
            build.ensure_wheel()
    assert path.exists()
    assert not list((tmp_path / "cache").rglob("*.whl"))  # what was fetched in vain is not met again


def test_a_wheel_of_other_patches_is_refused(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = a_wheel(tmp_path / "given", build.recipe_key())
    monkeypatch.setenv("CAFFE_WHEEL", str(path) + pin(path))
    shutil.copy(build.patches()[0], build.HERE / "patches" / "9999-more.patch")
    with pytest.raises(build.BuildError, match="another state of docker/caffe"):
        build.ensure_wheel()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{path}", "write .*#sha256= and the file's SHA-256"),
        ("{path}.gz#sha256=" + "0" * 64, "names no wheel of Caffe"),
        ("/nowhere/" + NAME + "#sha256=" + "0" * 64, "is not there"),
        ("file:///nowhere/" + NAME + "#sha256=" + "0" * 64, "could not be fetched"),
        ("/nowhere/caffe-1.0.0-cp39-cp39-manylinux_2_34_x86_64.whl", "is for another Python"),
    ],
)
def test_what_is_wrong_with_it_is_said(
    build: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    given: str,
    message: str,
) -> None:
    monkeypatch.setenv("CAFFE_WHEEL", given.format(path=a_wheel(tmp_path / "given", build.recipe_key())))
    assert build.main(["wheel"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("caffe: error: ")
    assert re.search(message, last)
