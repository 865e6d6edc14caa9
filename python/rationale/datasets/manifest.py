"""Reads data/manifest.toml: what can be fetched, from where, and how it is verified."""

import tomllib
from dataclasses import dataclass

from rationale.errors import DataError
from rationale.resources import shared_directory


@dataclass(frozen=True)
class Package:
    """A file inside a Python package on the package index; size in bytes."""

    name: str
    version: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class FileSet:
    """One entry of the manifest."""

    name: str
    title: str
    contents: str
    licence: str
    cite: str
    package: Package


def read_manifest() -> dict[str, FileSet]:
    """All file sets by name."""
    path = shared_directory("data") / "manifest.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8"))
    return {
        name: FileSet(name=name, **{**entry, "package": Package(**entry["package"])}) for name, entry in entries.items()
    }


def file_set(name: str) -> FileSet:
    """The entry of that name.

    Raises:
        DataError: the manifest has none.
    """
    manifest = read_manifest()
    if name not in manifest:
        raise DataError(f"no data set is named {name!r}; there are {', '.join(manifest)}")
    return manifest[name]
