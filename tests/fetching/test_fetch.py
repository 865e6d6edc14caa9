"""A file set is whole or not there: mirrors, damage, and two processes at once."""

import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rationale.errors import DataError
from rationale.fetching import fetch, fetched, file_set, is_whole, local_file, read_manifest, repair
from rationale.fetching.digest import files_in, tree_digest
from rationale.fetching.manifest import Download, FileSet, Part
from rationale.resources import cache_directory, mirror_directories

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
from rationale.fetching.manifest import Download, FileSet, Part
from rationale.resources import cache_directory, mirror_directories
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


def test_two_repairs_at_once_do_not_harm_each_other(mirror: Path) -> None:
    (fetched("tiny") / "images" / "one.txt").write_text("9")
    with ThreadPoolExecutor() as pool:
        damaged = sorted(pool.map(repair, ["tiny"] * 4))
    assert damaged == [[], [], [], ["images/one.txt"]]
    assert (fetched("tiny") / "images" / "one.txt").read_text() == "1"


def test_only_the_directories_of_a_subset_are_taken(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mirror / "names.txt").write_text("deep\n")
    digest = tree_digest(mirror / "pictures", [mirror / "pictures" / "deep" / "two.txt"])
    part = Part("pictures", mirror="pictures", among="names.txt", tree=digest)
    monkeypatch.setattr(fetch, "file_set", lambda name: FileSet("tiny", "", "", "", "", "", (part,)))
    monkeypatch.setattr(fetch, "shared_directory", lambda name: mirror)
    assert [path.name for path in files_in(fetched("tiny"))] == ["two.txt", "files.sha256"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Part("all", mirror="pictures", holds=("one.txt", "classes.txt")), "lacks classes.txt"),
        (Part("all", mirror="pictures", files=3), "holds 2 files, not 3"),
    ],
)
def test_a_mirror_without_digest_is_checked_by_what_it_holds(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, part: Part, message: str
) -> None:
    monkeypatch.setattr(fetch, "file_set", lambda name: FileSet("tiny", "", "", "", "", "", (part,)))
    with pytest.raises(DataError, match=message):
        fetched("tiny")


def test_what_a_person_must_bring_is_asked_for_first(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Part("photographs", mirror="pictures")
    lacking = Part("captions", mirror="captions", by_hand="ask the librarian")
    monkeypatch.setattr(fetch, "file_set", lambda name: FileSet("tiny", "", "", "", "", "", (slow, lacking)))
    seen: list[str] = []
    with pytest.raises(DataError, match="ask the librarian"):
        fetched("tiny", lambda done, total, what: seen.append(what))
    assert not seen


def test_an_archive_that_cannot_be_unpacked_is_fetched_again(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part("all", members="*.txt", download=Download("http://nowhere/all.zip", 0))
    monkeypatch.setattr(fetch, "file_set", lambda name: FileSet("tiny", "", "", "", "", "", (part,)))
    monkeypatch.setattr(fetch, "download", lambda wanted, path, report: path.write_bytes(b"cut"))
    with pytest.raises(DataError, match="cannot be unpacked"):
        fetched("tiny")

    def whole(wanted: Download, path: Path, report: object) -> None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("one.txt", "1")

    monkeypatch.setattr(fetch, "download", whole)
    assert (fetched("tiny") / "one.txt").read_text() == "1"


def test_a_mirror_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATIONALE_MIRROR", "/no/such/place")
    with pytest.raises(DataError, match="RATIONALE_MIRROR names '/no/such/place'"):
        mirror_directories()


def test_a_verified_archive_stays_whatever_stops_its_unpacking(mirror: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = Part("all", members="*.txt", download=Download("http://nowhere/all.zip", 1, "known"))
    monkeypatch.setattr(fetch, "file_set", lambda name: FileSet("tiny", "", "", "", "", "", (part,)))
    asked = []

    def whole(wanted: Download, path: Path, report: object) -> None:
        asked.append(path)
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("one.txt", "1")

    def full_disk(*_: object, **__: object) -> int:
        raise DataError("all.zip: cannot be unpacked (No space left on device)")

    monkeypatch.setattr(fetch, "download", whole)
    with monkeypatch.context() as while_full:
        while_full.setattr(fetch, "unpack", full_disk)
        with pytest.raises(DataError, match="No space left"):
            fetched("tiny")
    assert (fetched("tiny") / "one.txt").read_text() == "1"
    assert len(asked) == 1


def test_a_bad_mirror_does_not_hide_a_good_one(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad" / "pictures").mkdir(parents=True)
    (tmp_path / "bad" / "pictures" / "one.txt").write_text("other")
    monkeypatch.setattr(fetch, "mirror_directories", lambda: [tmp_path / "bad", mirror])
    assert (fetched("tiny") / "images" / "one.txt").read_text() == "1"


def test_what_a_killed_fetch_left_is_removed(mirror: Path) -> None:
    left = fetch.folder_of("tiny").parent / ".tiny.building"
    (left / "images").mkdir(parents=True)
    (left / "images" / "old.txt").write_text("half")
    folder = fetched("tiny")
    assert not left.exists()
    assert not (folder / "images" / "old.txt").exists()


def test_mending_a_set_drops_what_was_made_of_it(mirror: Path) -> None:
    fetched("tiny")
    made = fetch.derived_folder("tiny")
    made.mkdir()
    repair("tiny")
    assert not made.exists()


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    with pytest.raises(DataError, match="no home directory; set XDG_CACHE_HOME"):
        cache_directory()
