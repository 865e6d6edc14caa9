"""Reads data/manifest.toml: what can be fetched, from where, and how it is verified."""

import tomllib
from dataclasses import dataclass
from typing import Any

from rationale.errors import DataError
from rationale.resources import shared_directory


@dataclass(frozen=True)
class Package:
    """A file inside a Python package on the package index."""

    name: str
    version: str
    file: str


@dataclass(frozen=True)
class Download:
    """A file on the web: size in bytes, and its digest (`sha256`, or `sha1` where no more is known)."""

    url: str
    size: int
    sha256: str = ""
    sha1: str = ""

    @property
    def has_digest(self) -> bool:
        """Whether the file itself can be verified; otherwise what is in it must be."""
        return bool(self.sha256 or self.sha1)


@dataclass(frozen=True)
class Part:
    """Some files of a set, and where they can be had; the first source that has them is taken.

    Attributes:
        name: what they are.
        files: how many there are; 0 where sources differ.
        tree: SHA-256 over names and contents (`fetching.digest.tree_digest`) of what a mirror or package must hold.
        holds: files that must be among them, where `tree` is not known.
        among: file in data/ with names; only what lies in directories of these names is taken from a mirror.
        into: directory in the set's cache directory, "" for itself.
        mirror: directory or file in a mirror.
        package: a Python package that carries them.
        download: where they are published; an archive, unless `into` names the file.
        inside: archive inside the archive.
        members: which members of the archive: a pattern, "*" also matching "/".
        strip: leading directories that members lose.
        by_hand: what a person must do where the site wants a login or a click.
    """

    name: str
    files: int = 0
    tree: str = ""
    holds: tuple[str, ...] = ()
    among: str = ""
    into: str = ""
    mirror: str = ""
    package: Package | None = None
    download: Download | None = None
    inside: str = ""
    members: str = ""
    strip: int = 0
    by_hand: str = ""


@dataclass(frozen=True)
class FileSet:
    """One entry of the manifest."""

    name: str
    title: str
    contents: str
    licence: str
    cite: str
    homepage: str
    parts: tuple[Part, ...]


def read_manifest() -> dict[str, FileSet]:
    """All file sets by name."""
    path = shared_directory("data") / "manifest.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _file_set(name, entry) for name, entry in entries.items()}


def _file_set(name: str, entry: dict[str, Any]) -> FileSet:
    parts = tuple(_part(part) for part in entry.pop("part"))
    return FileSet(name=name, parts=parts, **entry)


def _part(entry: dict[str, Any]) -> Part:
    package, download = entry.pop("package", None), entry.pop("download", None)
    return Part(
        holds=tuple(entry.pop("holds", ())),
        package=Package(**package) if package else None,
        download=Download(**download) if download else None,
        **entry,
    )


def file_set(name: str) -> FileSet:
    """The entry of that name.

    Raises:
        DataError: the manifest has none.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise DataError(f"no file set is named {name!r}; there are {', '.join(manifest)}")
    return manifest[name]
