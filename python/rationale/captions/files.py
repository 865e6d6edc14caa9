"""Caption files: CSV with `id`, `class`, `caption`, `subjects` (joined by +) and the relevance density of each part.

Only `id` and `caption` must be there; `class`, where it is, must be the picture's own. A mistake is named with file and
line number.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rationale.errors import DataError
from rationale.explainer.vocabulary import tokens_of
from rationale.resources import write_whole

_COLUMNS = ("id", "class", "caption", "subjects", "weight")


@dataclass(frozen=True)
class Caption:
    """What is said of one picture, and the relevance figures that chose it.

    `line` is where it stands in its file, `weight` how often it is learnt from beside the picture's others.
    """

    id: str
    label: str
    text: str
    subjects: tuple[str, ...] = ()
    densities: Mapping[str, float] = field(default_factory=dict)
    line: int = field(default=0, compare=False)
    weight: float = 1.0


def write_captions(path: Path, captions: Sequence[Caption]) -> Path:
    """Writes captions in one step and returns the path."""
    parts = list(dict.fromkeys(part for caption in captions for part in caption.densities))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    weighted = any(caption.weight != 1 for caption in captions)
    columns = _COLUMNS if weighted else _COLUMNS[:-1]
    writer.writerow([*columns, *parts])
    for caption in captions:
        figures = [f"{caption.densities[part]:.3g}" if part in caption.densities else "" for part in parts]
        weight = [f"{caption.weight:.3g}"] if weighted else []
        writer.writerow([caption.id, caption.label, caption.text, "+".join(caption.subjects), *weight, *figures])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.getvalue())
    return path


def read_captions(path: Path) -> list[Caption]:
    """All captions of a file, in its order.

    Raises:
        DataError: it is not there, empty, not UTF-8, lacks a column, or a line holds no caption.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        content = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: is not UTF-8; save it as UTF-8") from error
    rows = csv.DictReader(io.StringIO(content))
    try:
        return _captions_in(rows, path)
    except csv.Error as error:
        raise DataError(f"{path}, line {rows.line_num + 1}: {error}") from error


def _captions_in(rows: "csv.DictReader[str]", path: Path) -> list[Caption]:
    names = list(rows.fieldnames or [])
    if missing := [name for name in ("id", "caption") if name not in names]:
        raise DataError(
            f"{path}: {'is empty' if not names else f'has no column {missing[0]!r}'}; see docs/sentences.md"
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path}: has two columns {twice[0]!r}")
    parts = [name for name in names if name not in _COLUMNS]
    found = []
    for row in rows:
        if None in row or row["caption"] is None:
            raise DataError(f"{path}, line {rows.line_num}: has not as many values as the first line")
        if not tokens_of(row["caption"]):
            raise DataError(f"{path}, line {rows.line_num}: the caption of {row['id']!r} holds no word")
        if not row["caption"].isprintable():
            raise DataError(f"{path}, line {rows.line_num}: the caption of {row['id']!r} holds a control character")
        try:
            densities = {part: float(row[part]) for part in parts if row[part]}
        except ValueError as error:
            raise DataError(f"{path}, line {rows.line_num}: {error}") from error
        if wrong := [part for part, density in densities.items() if not (math.isfinite(density) and density >= 0)]:
            raise DataError(f"{path}, line {rows.line_num}: {wrong[0]} has a density of {densities[wrong[0]]}")
        subjects = tuple(each for each in (row.get("subjects") or "").split("+") if each)
        weight = _weight(row.get("weight"), path, rows.line_num)
        label = row.get("class") or ""
        found.append(Caption(row["id"], label, row["caption"], subjects, densities, rows.line_num, weight))
    if not found:
        raise DataError(f"{path}: holds no captions")
    return found


def _weight(text: str | None, path: Path, line: int) -> float:
    try:
        weight = float(text) if text else 1.0
    except ValueError as error:
        raise DataError(f"{path}, line {line}: {error}") from error
    if not (math.isfinite(weight) and weight > 0):
        raise DataError(f"{path}, line {line}: has a weight of {weight}")
    return weight


def by_picture(captions: Sequence[Caption], ids: Sequence[str], path: Path) -> list[list[Caption]]:
    """The captions of each picture, in the order of `ids`.

    Raises:
        DataError: a picture has none.
    """
    found: dict[str, list[Caption]] = {number: [] for number in ids}
    for caption in captions:
        if caption.id in found:
            found[caption.id].append(caption)
    if without := [number for number in ids if not found[number]]:
        raise DataError(f"{path}: holds no caption of picture {without[0]!r} ({len(without)} of {len(ids)} lack one)")
    return [found[number] for number in ids]


def check_truth(captions: Sequence[Caption], labels: Mapping[str, str], path: Path) -> None:
    """Refuses captions of pictures that are not there, or that say another class of one than it has.

    Args:
        captions: of a file.
        labels: the class of each picture of the data set, by its id.
        path: of the file.

    Raises:
        DataError: there is one, named with its line; or no caption is of one of the classes.
    """
    for caption in captions:
        if caption.id not in labels:
            raise DataError(f"{path}, line {caption.line}: the data set has no picture {caption.id!r}")
        if caption.label and caption.label != labels[caption.id]:
            truth = labels[caption.id]
            raise DataError(
                f"{path}, line {caption.line}: picture {caption.id!r} is of the class {truth!r}, not {caption.label!r}"
            )
    told = {labels[caption.id] for caption in captions}
    if missing := [label for label in dict.fromkeys(labels.values()) if label not in told]:
        raise DataError(f"{path}: holds no caption of the class {missing[0]!r}")
