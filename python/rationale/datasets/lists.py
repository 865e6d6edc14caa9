"""Lists of pictures with their classes: CSV files, and lines of a path and a class, as Caffe's tools read them."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rationale.errors import DataError
from rationale.resources import printable

SUFFIXES = frozenset((".csv", ".tsv", ".txt", ".lst"))
SPLITS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}
_PATH = ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "picture", "photo")
_LABEL = ("label", "class", "classname", "class_name", "category", "species", "target")
_SPLIT = ("split", "set", "subset", "partition")


@dataclass(frozen=True)
class Listed:
    """One line: which file, of which class, in which split ("" where none is said), and what the list calls it."""

    path: Path
    label: str
    split: str
    id: str


def split_named(name: str) -> str | None:
    """The split that a directory or an entry of a list means, in any case: "Valid" is val."""
    return next((split for split, names in SPLITS.items() if name.strip().lower() in names), None)


def read_list(path: Path) -> list[Listed]:
    """The pictures of a list; paths are meant from where the list lies.

    A CSV file has columns for the path and the class and, if it says so, for the split, found by their names, whatever
    their order; without such names in its first line, the first column is the path and the last the class. In other
    lists a line ends in the class.

    Raises:
        DataError: the list cannot be read, is empty, or a line lacks something; with the line's number.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: is no UTF-8 (byte {error.start})") from error
    rows = _columns(text, path) if path.suffix.lower() in (".csv", ".tsv") else _words(text)
    found: dict[str, Listed] = {}
    for number, name, label, split in rows:
        where = f"{path}, line {number}"
        if not name or not label:
            raise DataError(f"{where}: wants the path of a picture and its class")
        if split and split_named(split) is None:
            raise DataError(f"{where}: the split {split!r} is none of train, val and test")
        if name in found:
            raise DataError(f"{where}: {name} comes twice")
        picture = path.parent / name
        if not picture.is_file():
            raise DataError(f"{where}: there is no file {picture}")
        found[name] = Listed(picture, label, split_named(split) or "", printable(name))
    if not found:
        raise DataError(f"{path}: names no picture")
    unsaid = [each.id for each in found.values() if not each.split]
    if unsaid and len(unsaid) < len(found):
        raise DataError(f"{path}: says the split of some pictures, and not that of {unsaid[0]}")
    return list(found.values())


def _columns(text: str, path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, path, class and split of each row of a CSV file."""
    first = text.split("\n", 1)[0]
    delimiter = "\t" if path.suffix.lower() == ".tsv" or "\t" in first else max(",;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    where: tuple[int, int, int | None] | None = None
    for row in reader:
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if where is None:
            named = _places(cells)
            where = named or (0, -1, None)
            if named:
                continue
        at, of, in_ = where
        if len(cells) < 2 or max(at, of, in_ or 0) >= len(cells):
            raise DataError(f"{path}, line {reader.line_num}: has too few columns")
        yield reader.line_num, cells[at], cells[of], cells[in_] if in_ is not None else ""


def _places(names: list[str]) -> tuple[int, int, int | None] | None:
    """Which columns hold path, class and split, if these are names of columns."""
    lower = [name.lower() for name in names]
    path, label, split = (
        next((number for number, name in enumerate(lower) if name in known), None) for known in (_PATH, _LABEL, _SPLIT)
    )
    return None if path is None or label is None else (path, label, split)


def _words(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line number, path and class of each line of a plain list."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, _, label = line.strip().replace("\t", " ").rpartition(" ")
            yield number, name.strip(), label, ""
