"""Flight: 800 aircraft photographs of Caltech-101 with this project's own classes, attributes and part regions.

data/flight/annotations.csv gives the cells of each part on a grid over the photograph; data/flight/split.csv the split,
made by `make_split` and never changed.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.morphology import convex_hull_image

from rationale.datasets.dataset import Mask, OnDemand, Split
from rationale.datasets.photographs import photographs
from rationale.datasets.splitting import fingerprint, near_duplicates, stratified_split
from rationale.errors import DataError
from rationale.fetching import fetched
from rationale.fetching.digest import short_digest
from rationale.resources import shared_directory

COLUMNS, ROWS = 10, 6  # of the grid, A to J from the left, 1 to 6 from the top
PARTS = {
    "nose": "nose",
    "fin": "fin",
    "wheels": "wheel_cells",
    "windows": "window_cells",
    "engines": "engine_cells",
    "wing": "wing_cells",
}
ATTRIBUTES = ("body", "windows", "wheels", "engines", "wing", "tail", "body_colour", "tail_colour", "background")


@dataclass(frozen=True)
class Annotation:
    """One row of annotations.csv."""

    id: str
    kind: str
    attributes: Mapping[str, str]
    cells: Mapping[str, str]  # by part, as written: "D4-H4+E5", "-" where it is not seen


class Flight:
    """Airliners and small aircraft; the photographs are fetched at first use."""

    name = "flight"
    classes: tuple[str, ...] = ("airliner", "small")

    def __init__(self) -> None:
        self._folder = fetched("flight")
        self._annotations = read_annotations()
        self._split_of = read_split()

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        if lost := [each.id for each in self._annotations if each.id not in self._split_of]:
            raise DataError(f"data/flight/split.csv: says nothing of photograph {lost[0]!r}")
        chosen = [each for each in self._annotations if self._split_of[each.id] == name]
        if not chosen:
            raise DataError(f"flight has no split {name!r}; it has train, val, test")
        paths = [self._path(each.id) for each in chosen]
        placed = list(zip(chosen, paths, strict=True))
        return Split(
            name,
            [each.id for each in chosen],
            photographs(paths),
            np.array([self.classes.index(each.kind) for each in chosen], np.int64),
            OnDemand(placed, lambda pair: hull(_parts(*pair))),
            OnDemand(placed, lambda pair: _parts(*pair)),
            [each.attributes for each in chosen],
            files=paths,
            annotated=short_digest(repr(chosen).encode()),
        )

    def _path(self, number: str) -> Path:
        return self._folder / "images" / f"image_{number}.jpg"


def read_annotations() -> list[Annotation]:
    """All rows of data/flight/annotations.csv.

    Raises:
        DataError: a row lacks something, or names an unknown class or cells that are not there.
    """
    path = shared_directory("data") / "flight" / "annotations.csv"
    found = []
    for line, row in _rows(path, ("id", "class", *ATTRIBUTES, *PARTS.values())):
        cells = {part: row[column] for part, column in PARTS.items()}
        if row["class"] not in Flight.classes:
            raise DataError(f"{path}, line {line}: the class {row['class']!r} is none of {', '.join(Flight.classes)}")
        try:
            for each in cells.values():
                list(_runs(each) if each not in "-" else ())
        except DataError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
        found.append(Annotation(row["id"], row["class"], {name: row[name] for name in ATTRIBUTES}, cells))
    return found


def read_split() -> dict[str, str]:
    """Split of each photograph, by its id.

    Raises:
        DataError: a row lacks something.
    """
    path = shared_directory("data") / "flight" / "split.csv"
    return {row["id"]: row["split"] for _, row in _rows(path, ("id", "split"))}


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and values of each row."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if missing := [name for name in columns if name not in (rows.fieldnames or [])]:
            raise DataError(f"{path}: has no column {missing[0]!r}")
        for row in rows:
            if None in row or None in row.values():
                raise DataError(f"{path}, line {rows.line_num}: has not as many values as the first line")
            yield rows.line_num, row


def make_split(path: Path) -> None:
    """Divides the photographs anew, near-duplicates on one side, and writes id and split to a CSV file."""
    rows = read_annotations()
    folder = fetched("flight") / "images"
    prints = [fingerprint(np.asarray(Image.open(folder / f"image_{row.id}.jpg").convert("RGB"))) for row in rows]
    labels = np.array([Flight.classes.index(row.kind) for row in rows], np.int64)
    found = stratified_split(labels, near_duplicates(prints, of_set=1.0))
    lines = [f"{row.id},{split}\n" for row, split in zip(rows, found, strict=True)]
    path.write_text("id,split\n" + "".join(lines), encoding="utf-8")


def cells_mask(cells: str, height: int, width: int) -> Mask:
    """Region of cells like "D4-H4+E5", bool (height, width).

    Raises:
        DataError: there are no such cells.
    """
    mask = np.zeros((height, width), bool)
    for (left, top), (right, bottom) in _runs(cells):
        rows = slice(round(top * height / ROWS), round((bottom + 1) * height / ROWS))
        mask[rows, round(left * width / COLUMNS) : round((right + 1) * width / COLUMNS)] = True
    return mask


def _runs(cells: str) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """First and last cell, (column, row), of each run."""
    for run in cells.split("+"):
        first, _, last = run.partition("-")
        yield _cell(first, cells), _cell(last or first, cells)


def _cell(text: str, cells: str) -> tuple[int, int]:
    column, row = ord(text[:1] or "?") - ord("A"), int(text[1:]) - 1 if text[1:].isdecimal() else -1
    if not (0 <= column < COLUMNS and 0 <= row < ROWS):
        raise DataError(f"no cells {cells!r}: columns are A to J, rows 1 to 6")
    return column, row


def _parts(annotation: Annotation, path: Path) -> dict[str, Mask]:
    """Regions of the parts that are seen."""
    with Image.open(path) as photo:
        width, height = photo.size
    return {part: cells_mask(cells, height, width) for part, cells in annotation.cells.items() if cells not in "-"}


def hull(parts: Mapping[str, Mask]) -> NDArray[np.bool_]:
    """The whole thing: the convex hull of its parts."""
    return np.asarray(convex_hull_image(np.logical_or.reduce(list(parts.values()))), np.bool_)
