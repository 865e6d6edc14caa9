"""Archives come from strangers: nothing may be written outside the target, and no link may be followed."""

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from rationale.errors import DataError
from rationale.fetching.archive import unpack


def tar_of(path: Path, members: dict[str, bytes | tarfile.TarInfo]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type = kind
    entry.linkname = target
    return entry


FILES = {"top/a/one.txt": b"1", "top/b/two.txt": b"22", "top/three.jpg": b"333"}


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_wanted_members_are_written_without_their_leading_directories(make, tmp_path: Path) -> None:
    archive = make(tmp_path / "files", FILES)
    assert unpack(archive, tmp_path / "out", members="*.txt", strip=1) == 2
    found = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    assert found == {"a/one.txt": b"1", "b/two.txt": b"22"}


def test_an_archive_in_an_archive(tmp_path: Path) -> None:
    inner = tar_of(tmp_path / "inner.tar.gz", FILES)
    outer = zip_of(tmp_path / "outer.zip", {"folder/inner.tar.gz": inner.read_bytes(), "other.txt": b"no"})
    assert unpack(outer, tmp_path / "out", inside="folder/inner.tar.gz", members="top/*.jpg", strip=1) == 1
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["three.jpg"]


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "top/../../evil.txt", "top\\..\\evil.txt"])
@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_members_that_would_land_elsewhere_are_refused(make, name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / "files", {name: b"evil"})
    with pytest.raises(DataError, match="outside its directory"):
        unpack(archive, tmp_path / "deep" / "out")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    "entry",
    [
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("link", tarfile.LNKTYPE, "top/three.jpg"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
    ],
    ids=["symbolic link", "hard link", "device", "pipe"],
)
def test_links_and_devices_are_refused(entry: tarfile.TarInfo, tmp_path: Path) -> None:
    archive = tar_of(tmp_path / "files.tgz", {**FILES, entry.name: entry})
    with pytest.raises(DataError, match="a link or a device"):
        unpack(archive, tmp_path / "out")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    entry = zipfile.ZipInfo("link")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "files.zip", "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        unpack(tmp_path / "files.zip", tmp_path / "out")


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_a_cut_archive_is_an_error(make, tmp_path: Path) -> None:
    archive = make(tmp_path / "files", {"big.bin": bytes(range(256)) * 500})
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "out")


def test_names_may_begin_at_the_place_itself(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        entry = tarfile.TarInfo("./top/one.txt")
        entry.size = 1
        file.addfile(entry, io.BytesIO(b"1"))
    assert unpack(tmp_path / "a.tar", tmp_path / "out", members="top/*.txt", strip=1) == 1
    assert (tmp_path / "out" / "one.txt").read_text() == "1"
    with pytest.raises(DataError, match=r"holds nothing like '\*\.jpg'"):
        unpack(tmp_path / "a.tar", tmp_path / "out", members="*.jpg")


def test_an_encrypted_zip_is_an_error(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("one.txt", "1")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flags of the member, twice
        content[content.index(mark) + place] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
