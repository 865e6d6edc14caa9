"""Any directory with one directory of pictures for each class: for people's own photographs.

Either `<root>/train/<class>/…`, `<root>/test/…` and, unless it is to be taken from train, `<root>/val/…`; or
`<root>/<class>/…`, which is then divided (near-duplicates on one side; see `splitting`), the same way every time.
Hidden files and directories are passed over.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from rationale.datasets.dataset import Split
from rationale.datasets.photographs import photographs
from rationale.datasets.splitting import SHARES, fingerprint, near_duplicates, stratified_split
from rationale.errors import DataError, ImageError
from rationale.fetching.digest import short_digest
from rationale.resources import cache_directory, printable, write_whole

SUFFIXES = frozenset(
    ".avif .bmp .gif .heic .heif .jfif .jp2 .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split()  # noqa: SIM905
)
_Found = tuple[str, Path, int]  # split, file, class number


class Folder:
    """A directory of class directories; classes in the order of their names."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: there is no such directory")
        self.name = root.resolve().name
        divided = (root / "train").is_dir() and ((root / "val").is_dir() or (root / "test").is_dir())
        roots = {name: root / name for name in SHARES if (root / name).is_dir()} if divided else {"": root}
        names = sorted({path.name for each in roots.values() for path in each.iterdir() if _is_class(path)})
        self.classes = tuple(names)
        if len(names) < 2:
            raise DataError(f"{root}: wants at least two directories of pictures, one for each class")
        found = [
            (split, path, names.index(path.parent.name))
            for split, place in roots.items()
            for name in names
            for path in _pictures(place / name)
        ]
        if not divided:
            found = _divided(found, SHARES)
        elif "val" not in roots:
            whole = SHARES["train"] + SHARES["val"]
            train = _divided(
                [each for each in found if each[0] == "train"],
                {name: SHARES[name] / whole for name in ("train", "val")},
            )
            found = train + [each for each in found if each[0] != "train"]
        self._found = found

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        chosen = [(path, label) for split, path, label in self._found if split == name]
        if not chosen:
            raise DataError(f"{self.name} has no split {name!r}, or nothing in it")
        paths = [path for path, _ in chosen]
        ids = [printable(f"{path.parent.name}/{path.name}") for path in paths]
        labels = np.array([label for _, label in chosen], np.int64)
        return Split(name, ids, photographs(paths), labels, version=_version(paths))


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


def _divided(found: Sequence[_Found], shares: dict[str, float]) -> list[_Found]:
    """The pictures with splits; what was found out about these very files is kept in the cache."""
    paths = [path for _, path, _ in found]
    state = hashlib.sha256(json.dumps([_version(paths), shares, [str(path) for path in paths]]).encode()).hexdigest()
    kept = cache_directory() / "folders" / f"{state[:24]}.json"
    try:
        splits = json.loads(kept.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        labels = np.array([label for *_, label in found], np.int64)
        splits = stratified_split(labels, near_duplicates(map(_fingerprint, paths), labels), shares)
        _keep(kept, json.dumps(splits))
    return [(split, path, label) for split, (_, path, label) in zip(splits, found, strict=True)]


def _keep(path: Path, text: str) -> None:
    """Writes to the cache, if it can be written: without it, the pictures are read again next time."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)


def _version(paths: Sequence[Path]) -> str:
    """Changes when a file does."""
    states = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return short_digest(json.dumps(states).encode())


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and bool(_pictures(path))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if _is_picture(path) and path.is_file())


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


def _fingerprint(path: Path) -> np.ndarray:
    try:
        return fingerprint(photographs([path])[0])
    except ImageError as error:
        raise DataError(f"{error}; mend or remove it") from error
