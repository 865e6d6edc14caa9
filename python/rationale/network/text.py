"""Reads a text file as people have it: with a byte-order mark, a NUL at the end, or in GBK or Latin-1."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from os import PathLike
from pathlib import Path

from rationale.errors import NetworkError

_NO_TEXT = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")  # control characters but for space, tab and line ends


def read_text(path: str | PathLike[str]) -> tuple[str, list[str]]:
    """What the file says, and what had to be understood to read it.

    Raises:
        NetworkError: it cannot be read, or is no text.
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise NetworkError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        text, understood = _decoded(content)
    except UnicodeDecodeError as error:
        raise NetworkError(f"{path}: cannot be read (not a text file)") from error
    ended = text.rstrip("\0\x1a")
    if ended != text:
        understood.append("what ends the file, a NUL, was left out")
    if _NO_TEXT.search(ended):
        raise NetworkError(f"{path}: cannot be read (not a text file)")
    return ended, understood


def _decoded(content: bytes) -> tuple[str, list[str]]:
    if content.startswith(BOM_UTF8):
        return content.removeprefix(BOM_UTF8).decode("utf-8"), ["the byte-order mark was left out"]
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return content.decode("utf-16"), ["read as UTF-16"]
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError:
        # Chinese characters are two bytes each, nearly always both above 127; accented letters stand alone.
        runs = re.findall(rb"[\x80-\xff]+", content)
        encoding = "gbk" if all(len(run) % 2 == 0 for run in runs) else "latin-1"
        return content.decode(encoding), [f"read as {encoding.replace('gbk', 'GBK').replace('latin', 'Latin')}"]
