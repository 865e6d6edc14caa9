"""Where the project's own files live (models, weights, manifest) and where downloads are kept."""

import fcntl
import json
import math
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rationale.errors import DataError, OutputError

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def shared_directory(name: str) -> Path:
    """Directory `prototxt`, `weights` or `data`: of the checkout, or of the installed package."""
    in_checkout = _CHECKOUT / name
    if (_CHECKOUT / "pyproject.toml").exists() and in_checkout.is_dir():
        return in_checkout
    return _PACKAGE / "shared" / name


def cache_directory() -> Path:
    """Directory for downloads; follows XDG_CACHE_HOME.

    Raises:
        DataError: neither it nor a home directory is known.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "rationale"
    except RuntimeError as error:
        raise DataError("this user has no home directory; set XDG_CACHE_HOME to a directory for downloads") from error


def image() -> str | None:
    """Which of this project's Docker images this runs in; None outside of one."""
    return os.environ.get("RATIONALE_IMAGE")


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8, in one step: it is there as before or as a whole, however the process ends.

    Raises:
        OSError: it cannot be written.
    """
    whole = printable(content).encode() if isinstance(content, str) else content
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file():  # /dev/stdout, a pipe: nothing to put in its place
        path.write_bytes(whole)
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        partial.write_bytes(whole)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def now() -> datetime:
    """The time, with this place's offset; as SOURCE_DATE_EPOCH says where it is set, so that runs give the same."""
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(stated), UTC) if stated.isdecimal() else datetime.now().astimezone()


def printable(text: str) -> str:
    """Text that UTF-8 can hold: what stands for a byte of a file's name that is none becomes U+FFFD."""
    try:
        text.encode()  # in a tenth of the time that it takes to look for them
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udfff]", "\ufffd", text)
    return text


def as_json(content: Any, indent: int | None = None) -> str:
    """Plain data as JSON that any reader takes: null for NaN and infinity, which JSON does not know."""
    try:
        text = json.dumps(content, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(content), ensure_ascii=False, indent=indent, allow_nan=False)
    return printable(text)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Holds a lock file, made with its folder, against other processes; yields whether it could be had.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path, "w")  # noqa: SIM115
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be written ({error.strerror or error})") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def mirror_directories() -> list[Path]:
    """Directories that may hold copies of what would be downloaded: RATIONALE_MIRROR, and shared/data by a checkout.

    Raises:
        DataError: RATIONALE_MIRROR names no directory.
    """
    named = os.environ.get("RATIONALE_MIRROR")
    if named and not Path(named).is_dir():
        raise DataError(f"RATIONALE_MIRROR names {named!r}, which is no directory")
    places = [Path(named)] if named else []
    if (_CHECKOUT / "pyproject.toml").exists():
        places.append(_CHECKOUT.parent / "shared" / "data")
    return [place for place in places if place.is_dir()]
