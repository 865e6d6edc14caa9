"""A file set is whole or not there: mirrors, damage, and two processes at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from rationale.errors import DataError
from rationale.fetching import fetch, fetched, file_set, is_whole, local_file, read_manifest, repair
from rationale.fetching.digest import files_in, tree_digest
from rationale.fetching.manifest import FileSet, Part

FILES = {"pictures/one.txt": "1", "pictures/deep/two.txt": "22"}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with a set `tiny`, an empty cache, and a manifest that knows the set."""
    place = tmp_path / "mirror"
    for name, content in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(content)
    digest = tree_digest(place / "pictures", files_in(place / "pictures"))
    parts = (Part("pictures", into="images", mirror="pictures", tree=digest),)
    tiny = FileSet("tiny", "Tiny", "two files", "none", "nobody", "nowhere", parts)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fetch, "mirror_directories", lambda: [place])
    monkeypatch.setattr(fetch, "file_set", lambda name: tiny)
    return place


def test_a_set_is_copied_from_a_mirror_once(mirror: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    folder = fetched("tiny", lambda *progress: seen.append(progress))
    assert (folder / "images" / "deep" / "two.txt").read_text() == "22"
    assert seen[-1] == (2, 2, "pictures")
    assert is_whole("tiny")
    (mirror / "pictures" / "one.txt").unlink()
    assert fetched("tiny") == folder


def test_a_mirror_with_other_files_is_refused(mirror: Path) -> None:
    (mirror / "pictures" / "one.txt").write_text("other")
    with pytest.raises(DataError, match=r"other files than the manifest says.*RATIONALE_MIRROR"):
        fetched("tiny")
    assert not is_whole("tiny")
    assert [path.name for path in fetch.folder_of("tiny").parent.iterdir()] == [".tiny.lock"]


@pytest.mark.parametrize("damage", ["cut", "changed", "gone"])
def test_damage_is_found_and_the_set_fetched_again(mirror: Path, damage: str) -> None:
    path = fetched("tiny") / "images" / "deep" / "two.txt"
    if damage == "gone":
        path.unlink()
    else:
        path.write_text("2" if damage == "cut" else "23")
    if damage == "changed":  # only the digest tells
        assert repair("tiny") == ["images/deep/two.txt"]
    else:
        assert not is_whole("tiny")
        fetched("tiny")
    assert path.read_text() == "22"
    assert repair("tiny") == []


def test_a_set_that_nobody_has_says_what_to_do(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part("captions", mirror="captions", by_hand="ask the librarian for captions.zip")
    wanted = FileSet("tiny", "Tiny", "", "", "", "", (part,))
    monkeypatch.setattr(fetch, "file_set", lambda name: wanted)
    with pytest.raises(DataError, match=r"captions: ask the librarian for captions\.zip\. Or set RATIONALE_MIRROR"):
        fetched("tiny")


def test_two_processes_take_turns(tmp_path: Path) -> None:
    """The copy is replaced by a slow one that counts itself."""
    code = f"""
import time
from rationale.fetching import fetch
from rationale.fetching.manifest import FileSet, Part
def slow(part, target, downloads, report):
    open({str(tmp_path / "fetches")!r}, "a").write("x")
    time.sleep(0.5)
    target.mkdir(parents=True, exist_ok=True)
    (target / "file").write_text("whole")
    return True
fetch._from_mirror = slow
fetch.file_set = lambda name: FileSet("tiny", "", "", "", "", "", (Part("all", into="images"),))
print((fetch.fetched("tiny") / "images" / "file").read_text())
"""
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.communicate()[0].strip() for process in running] == ["whole", "whole"]
    assert (tmp_path / "fetches").read_text() == "x"


def test_files_of_sets_are_named_by_scheme(mirror: Path) -> None:
    assert local_file(Path("data:tiny/images/one.txt")).read_text() == "1"
    assert local_file(Path("/plain/file")) == Path("/plain/file")
    with pytest.raises(DataError, match="has no such file"):
        local_file(Path("data:tiny/images/three.txt"))


def test_every_set_says_where_from_and_under_which_licence() -> None:
    for entry in read_manifest().values():
        assert all((entry.title, entry.contents, entry.licence, entry.cite, entry.homepage, entry.parts))
        for part in entry.parts:
            assert part.mirror
            assert part.package or part.download or part.by_hand
            assert part.tree or (part.download and part.download.sha256) or part.by_hand
    with pytest.raises(DataError, match="there are mnist, flight, cub, cub-22, imagenet"):
        file_set("other")
