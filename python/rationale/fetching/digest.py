"""Digests of files and of whole directories."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def short_digest(content: bytes) -> str:
    """Twelve digits of a SHA-256: enough to tell one state of something from another."""
    return hashlib.sha256(content).hexdigest()[:12]


def tree_digest(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 over "digest, two spaces, path" lines of files, sorted by their path in `folder`."""
    names = sorted((path.relative_to(folder).as_posix(), path) for path in files)
    lines = "".join(f"{file_digest(path)}  {name}\n" for name, path in names)
    return hashlib.sha256(lines.encode()).hexdigest()


def files_in(folder: Path) -> list[Path]:
    """All files below a directory, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
