"""People's own photographs: a directory with one directory of pictures for each class, or a list of files and classes.

Either `<root>/train/<class>/…` and `<root>/test/…` or `<root>/val/…` (train, training; val, valid, validation; test,
testing, in any case), or `<root>/<class>/…`, or a list (see `lists`). What of train, val and test is not there is taken
from train, near-duplicates on one side (see `splitting`), the same way every time. Pictures in directories below a
class's belong to the class. Hidden files and directories are passed over.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rationale.datasets.dataset import Split
from rationale.datasets.lists import Listed, read_list, split_named
from rationale.datasets.photographs import photographs
from rationale.datasets.splitting import SHARES, fingerprint, near_duplicates, stratified_split
from rationale.errors import DataError, ImageError
from rationale.fetching.digest import short_digest
from rationale.images import unreadable
from rationale.resources import cache_directory, printable, write_whole

SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
_MOST_NAMED = 10  # pictures that cannot be read, in one message


@dataclass(frozen=True)
class _Layout:
    """What was found of pictures, and what people should know of it."""

    found: Sequence[Listed]
    remarks: tuple[str, ...] = ()


class Folder:
    """Pictures of a directory or a list; classes in the order of their names.

    Attributes:
        remarks: what people should know of how their pictures were understood, a line each.
    """

    def __init__(self, root: Path) -> None:
        if not root.exists():
            raise DataError(f"{root}: there is no such directory")
        self.name = root.resolve().name if root.is_dir() else root.resolve().stem
        layout = _in_directory(root) if root.is_dir() else _Layout(read_list(root))
        wrong = _unreadable([each.path for each in layout.found])
        found = [each for each in layout.found if each.path not in wrong]
        self.remarks = (*layout.remarks, *_left_out(wrong))
        self.classes = tuple(sorted({each.label for each in found}))
        if len(self.classes) < 2:
            why = _hint(root) or "".join(f"; {remark}" for remark in _left_out(wrong))
            raise DataError(f"{root}: wants at least two directories of pictures, one for each class{why}")
        self._found = _with_all_splits(found)

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        chosen = [each for each in self._found if each.split == name]
        if not chosen:
            raise DataError(f"{self.name} has no split {name!r}, or nothing in it")
        paths = [each.path for each in chosen]
        labels = np.array([self.classes.index(each.label) for each in chosen], np.int64)
        ids = [each.id for each in chosen]
        return Split(name, ids, photographs(paths), labels, version=_version(paths), files=paths)


def counts(dataset: Any) -> dict[str, Counter[str]]:
    """How many pictures of each class each split of a data set has; splits without any are not there."""
    found = {}
    for name in SHARES:
        with suppress(DataError):
            labels = dataset.split(name).labels
            found[name] = Counter(dataset.classes[label] for label in labels)
    return found


def loose_pictures(folder: Path) -> Split:
    """All pictures in a directory and those in it, without classes (labels −1), as one split named "pictures".

    Raises:
        DataError: there is no such directory, or no picture in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such directory")
    paths = pictures_below(folder)
    if not paths:
        raise DataError(f"{folder}: holds no pictures")
    ids = [printable(path.relative_to(folder).as_posix()) for path in paths]
    labels = np.full(len(paths), -1, np.int64)
    return Split("pictures", ids, photographs(paths), labels, files=paths, version=_version(paths), folder=folder)


# ---- what is where -----------------------------------------------------------------------------------------------


def _in_directory(root: Path) -> _Layout:
    folders = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    named = [(path, split_named(path.name)) for path in folders]
    splits = [split for _, split in named if split is not None]
    if "train" in splits and (len(splits) > 1 or len(folders) == 1):
        if len(splits) > len(set(splits)):
            twice = ", ".join(path.name for path, split in named if split is not None and splits.count(split) > 1)
            raise DataError(f"{root}: {twice} mean the same split; put their pictures into one")
        places = {split: path for path, split in named if split is not None}
        remarks = [f"{path.name}/ is no split and is left out" for path, split in named if split is None]
    else:
        places, remarks = {"": root}, []
    found: list[Listed] = []
    for split, place in places.items():
        for folder in sorted(place.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                pictures = pictures_below(folder)
                remarks += _deeper(folder, pictures)
                found += [_listed(path, place, split) for path in pictures]
        remarks += _beside(place)
    return _Layout(found, tuple(remarks))


def _listed(path: Path, place: Path, split: str) -> Listed:
    inside = path.relative_to(place)
    return Listed(path, inside.parts[0], split, printable(inside.as_posix()))


def _deeper(folder: Path, pictures: Sequence[Path]) -> list[str]:
    """That pictures lie further down, and are taken for the class's."""
    deeper = sum(path.parent != folder for path in pictures)
    return [f"{deeper} pictures in directories below {folder.name}/ are taken for the class {folder.name}"] * bool(
        deeper
    )


def _beside(place: Path) -> list[str]:
    """That pictures lie beside the directories of the classes, and are left out."""
    loose = [path.name for path in sorted(place.iterdir()) if _is_picture(path) and path.is_file()]
    shown = ", ".join(loose[:3]) + (", …" if len(loose) > 3 else "")
    return [f"{len(loose)} pictures lie beside the directories of the classes and are left out: {shown}"] * bool(loose)


def _hint(root: Path) -> str:
    """Where the classes may be instead."""
    inner = (
        [path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        if root.is_dir()
        else []
    )
    return f"; there is only {inner[0]}/: name that one if it holds them" if len(inner) == 1 else ""


def pictures_below(folder: Path) -> list[Path]:
    """All pictures in a directory and the directories in it, in order; what is hidden (".name") is passed over.

    Links are followed, but not back to where they are.
    """
    here, found = folder.resolve(), []
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            found += [path] if _is_picture(path) else []
        elif not path.name.startswith(".") and path.resolve() not in (here, *here.parents):
            found += pictures_below(path)
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


# ---- splits --------------------------------------------------------------------------------------------------------


def _with_all_splits(found: Sequence[Listed]) -> list[Listed]:
    """Pictures without a split, or those of train where a split is lacking, are divided."""
    present = {each.split for each in found}
    source = "train" if "train" in present else ""
    lacking = [name for name in SHARES if name not in present or name == source]
    if source in present and (not source or len(lacking) > 1):
        whole = sum(SHARES[name] for name in lacking)
        pool = [each for each in found if each.split == source]
        others = [each for each in found if each.split != source]
        return _divided(pool, {name: SHARES[name] / whole for name in lacking}) + others
    return list(found)


def _divided(found: Sequence[Listed], shares: dict[str, float]) -> list[Listed]:
    """The pictures with splits; what was found out about these very files is kept in the cache."""
    paths = [each.path for each in found]
    names = sorted({each.label for each in found})

    def divide() -> list[str]:
        labels = np.array([names.index(each.label) for each in found], np.int64)
        return stratified_split(labels, near_duplicates(map(_fingerprint, paths), labels), shares)

    splits = _remembered([_version(paths), shares, [str(path) for path in paths]], divide)
    return [replace(each, split=split) for each, split in zip(found, splits, strict=True)]


def _unreadable(paths: Sequence[Path]) -> dict[Path, str]:
    """The pictures that cannot be read, and why; found out once for files as they are, and kept in the cache."""

    def look() -> list[str]:
        wrong = unreadable(paths)
        return [str(wrong.get(path, "")) for path in paths]

    found = _remembered(["readable", _version(paths), [str(path) for path in paths]], look)
    return {path: error for path, error in zip(paths, found, strict=True) if error}


def _left_out(wrong: Mapping[Path, str]) -> list[str]:
    """That pictures cannot be read, in a line."""
    if not wrong:
        return []
    count = "1 picture" if len(wrong) == 1 else f"{len(wrong)} pictures"
    named = "; ".join(list(wrong.values())[:_MOST_NAMED]) + ("; …" if len(wrong) > _MOST_NAMED else "")
    return [f"{count} cannot be read and are left out: {named}"]


def _remembered(state: list[Any], find_out: Callable[[], list[str]]) -> list[str]:
    """What was found out about files in this state, from the cache where it was before."""
    digest = hashlib.sha256(json.dumps(state).encode()).hexdigest()
    kept = cache_directory() / "folders" / f"{digest[:24]}.json"
    try:
        found: list[str] = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = find_out()
        _keep(kept, json.dumps(found))
    return found


def _keep(path: Path, text: str) -> None:
    """Writes to the cache, if it can be written: without it, the pictures are read again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)


def _version(paths: Sequence[Path]) -> str:
    """Changes when a file does."""
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return short_digest(json.dumps(states).encode())


def _fingerprint(path: Path) -> np.ndarray:
    try:
        return fingerprint(photographs([path])[0])
    except ImageError as error:
        raise DataError(f"{error}; mend or remove it") from error
