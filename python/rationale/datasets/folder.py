"""Any directory with one directory of pictures for each class: for people's own photographs.

Either `<root>/train/<class>/…`, `<root>/val/…` and `<root>/test/…`, or `<root>/<class>/…`, which is then divided
(near-duplicates on one side; see `splitting`), the same way every time.
"""

from pathlib import Path

import numpy as np

from rationale.datasets.dataset import Split
from rationale.datasets.photographs import photographs
from rationale.datasets.splitting import SHARES, fingerprint, near_duplicates, stratified_split
from rationale.errors import DataError, ImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"})


class Folder:
    """A directory of class directories; classes in the order of their names."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise DataError(f"{root}: there is no such directory")
        self.name = root.resolve().name
        divided = all((root / name).is_dir() for name in ("train", "val"))
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
            prints = near_duplicates([_fingerprint(path) for _, path, _ in found])
            splits = stratified_split(np.array([label for *_, label in found], np.int64), prints)
            found = [(split, path, label) for split, (_, path, label) in zip(splits, found, strict=True)]
        self._found = found

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        chosen = [(path, label) for split, path, label in self._found if split == name]
        if not chosen:
            raise DataError(f"{self.name} has no split {name!r}, or nothing in it")
        paths = [path for path, _ in chosen]
        ids = [f"{path.parent.name}/{path.name}" for path in paths]
        return Split(name, ids, photographs(paths), np.array([label for _, label in chosen], np.int64))


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and bool(_pictures(path))


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())


def _fingerprint(path: Path) -> np.ndarray:
    try:
        return fingerprint(photographs([path])[0])
    except ImageError as error:
        raise DataError(str(error)) from error
