"""Unpacks archives without trusting them: nothing outside the target, no links, no devices."""

import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from rationale.errors import DataError

_CHUNK = 1 << 20
# Cut, damaged, encrypted, compressed in an unknown way, named with a zero byte.
_UNREADABLE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(OSError, ValueError, RuntimeError),
)


def unpack(archive: Path, target: Path, *, members: str = "*", inside: str = "", strip: int = 0) -> int:
    """Writes the matching regular files of a tar or zip archive under `target` and returns their number.

    Args:
        archive: .tar, .tar.gz, .tgz or .zip.
        target: directory, made if need be.
        members: pattern of the names to take, "*" also matching "/".
        inside: name of an archive in the archive that is unpacked instead.
        strip: how many leading directories names lose.

    Raises:
        DataError: it is no archive, is cut off, encrypted, or holds nothing of the kind; or a wanted member would land
            outside `target`, or is a link or device.
    """
    try:
        if not inside:
            return _unpacked(archive, target, members, strip)
        inner = target / ".inner"
        target.mkdir(parents=True, exist_ok=True)
        try:
            with open(inner, "wb") as file:
                for _, content in _members(archive, inside):
                    shutil.copyfileobj(content, file, _CHUNK)
            return _unpacked(inner, target, members, strip)
        finally:
            inner.unlink(missing_ok=True)
    except _UNREADABLE as error:
        raise DataError(f"{archive.name}: cannot be unpacked ({error})") from error


def _unpacked(archive: Path, target: Path, members: str, strip: int) -> int:
    count = 0
    for name, content in _members(archive, members):
        path = target / _safe(name, strip, archive)
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            shutil.copyfileobj(content, file, _CHUNK)
        count += 1
    if not count:
        raise DataError(f"{archive.name}: holds nothing like {members!r}")
    return count


def _safe(name: str, strip: int, archive: Path) -> PurePosixPath:
    path = PurePosixPath(name)
    parts = path.parts[strip:]
    if path.is_absolute() or ".." in path.parts or "\\" in name or not parts:
        raise DataError(f"{archive.name}: member {name!r} would be written outside its directory")
    return PurePosixPath(*parts)


def _members(archive: Path, pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    yield from (_zip_members if zipfile.is_zipfile(archive) else _tar_members)(archive, pattern)


def _zip_members(archive: Path, pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            if entry.is_dir() or not fnmatchcase(_plain(entry.filename), pattern):
                continue
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                raise DataError(f"{archive.name}: member {entry.filename!r} is a link")
            with opened.open(entry) as content:
                yield _plain(entry.filename), content


def _tar_members(archive: Path, pattern: str) -> Iterator[tuple[str, IO[bytes]]]:
    with tarfile.open(archive) as opened:
        for entry in opened:
            if entry.isdir() or not fnmatchcase(_plain(entry.name), pattern):
                continue
            content = opened.extractfile(entry) if entry.isreg() else None
            if content is None:
                raise DataError(f"{archive.name}: member {entry.name!r} is a link or a device")
            with content:
                yield _plain(entry.name), content


def _plain(name: str) -> str:
    """The name without the "./" that some tars begin with."""
    return name.removeprefix("./")
