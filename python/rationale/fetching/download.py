"""Downloads one file, goes on where an earlier attempt was cut off, and verifies it."""

import http.client
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from rationale.errors import DataError
from rationale.fetching.digest import file_digest
from rationale.fetching.manifest import Download

Report = Callable[[int, int], None]  # bytes done, of how many

_CHUNK = 1 << 16
_TRIES = 4
_TIMEOUT = 30  # seconds without a byte


def download(wanted: Download, path: Path, report: Report = lambda done, total: None) -> None:
    """Brings a file from the web to `path`, whole and verified; what a cut attempt left is used.

    Raises:
        DataError: it cannot be had, or is not what the manifest says.
    """
    partial = path.with_name(path.name + ".part")
    for attempt in range(_TRIES):
        try:
            _continue(wanted, partial, report)
            break
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
            if attempt == _TRIES - 1 or (isinstance(error, urllib.error.HTTPError) and error.code < 500):
                raise DataError(f"{wanted.url} cannot be fetched ({reason})") from error
            time.sleep(2**attempt)
    verify(wanted, partial)
    os.replace(partial, path)


def verify(wanted: Download, path: Path) -> None:
    """Refuses, and removes, a file of another size or digest.

    Raises:
        DataError: it is one.
    """
    if not wanted.has_digest:
        return  # verified by what is in it
    size = path.stat().st_size
    algorithm, digest = ("sha256", wanted.sha256) if wanted.sha256 else ("sha1", wanted.sha1)
    found = file_digest(path, algorithm) if size == wanted.size or not wanted.size else ""
    if found != digest:
        path.unlink()
        name = {"sha256": "SHA-256", "sha1": "SHA-1"}[algorithm]
        what = f"has {name} {found}, not {digest}" if found else f"has {size} bytes, not {wanted.size}"
        raise DataError(f"{wanted.url}: what came {what}; it was removed, try again later")


def _continue(wanted: Download, partial: Path, report: Report) -> None:
    done = partial.stat().st_size if partial.exists() else 0
    if wanted.size and done >= wanted.size:
        return
    request = urllib.request.Request(wanted.url, headers={"User-Agent": "rationale", "Range": f"bytes={done}-"})
    try:
        answer = urllib.request.urlopen(request, timeout=_TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # nothing is left to send
            return
        raise
    with answer:
        goes_on = answer.status == 206
        done = done if goes_on else 0
        total = wanted.size or done + int(answer.headers.get("Content-Length") or 0)
        with open(partial, "ab" if goes_on else "wb") as file:
            try:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    report(done, max(done, total))
            except http.client.IncompleteRead as error:  # sent in chunks, and cut off
                file.write(error.partial)
                raise
    if done < total:
        raise OSError(f"cut off after {done} of {total} bytes")
