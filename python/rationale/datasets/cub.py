"""CUB-200-2011: birds with boxes, part locations, attributes and ten captions each, in the official layout.

Wah et al. 2011; captions by Reed et al. 2016 (text_c10). The official split gives train and test; every tenth training
photograph of a class is `val`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rationale.datasets.dataset import Mask, OnDemand, Split
from rationale.datasets.photographs import photographs
from rationale.errors import DataError
from rationale.fetching import fetched, is_whole
from rationale.resources import shared_directory

VAL_EACH = 10  # every so many of a class's training photographs are for validation
PART_SIZE = 0.16  # side of a part's region, as a share of the longer side of the bird's box


class Cub:
    """The 200 species, or some of them; the photographs are fetched at first use, or read from a directory."""

    def __init__(self, name: str = "cub", folder: Path | None = None) -> None:
        self.name = name
        self._folder = folder or _fetched(name)
        self._root = self._folder / "CUB_200_2011"
        names = dict(self._table("classes.txt"))
        wanted = _subset() if name == "cub-22" else list(names.values())
        self._class_of = {number: wanted.index(name) for number, name in names.items() if name in wanted}
        if len(self._class_of) != len(wanted):
            raise DataError(f"{self._root}: holds {len(self._class_of)} of the {len(wanted)} species of {name!r}")
        self.classes = tuple(readable(each) for each in wanted)
        labels = dict(self._table("image_class_labels.txt"))
        in_train = dict(self._table("train_test_split.txt"))
        self._files = [pair for pair in self._table("images.txt") if labels[pair[0]] in self._class_of]
        self._labels = {number: self._class_of[labels[number]] for number, _ in self._files}
        self._splits = _splits(self._files, self._labels, in_train)

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`."""
        if name not in self._splits:
            raise DataError(f"{self.name} has no split {name!r}; it has {', '.join(self._splits)}")
        chosen = self._splits[name]
        files = dict(self._files)
        paths = {number: self._root / "images" / files[number] for number in chosen}
        return Split(
            name,
            [files[number].removesuffix(".jpg") for number in chosen],
            photographs(list(paths.values())),
            np.array([self._labels[number] for number in chosen], np.int64),
            OnDemand(chosen, lambda number: self._box_mask(number, paths[number])),
            OnDemand(chosen, lambda number: self._part_masks(number, paths[number])),
            OnDemand(chosen, self._attributes),
            OnDemand([files[number] for number in chosen], self._captions),
        )

    def _table(self, name: str) -> list[tuple[str, str]]:
        """Pairs of a number and the rest of its line."""
        try:
            lines = (self._root / name).read_text(encoding="utf-8").splitlines()
            return [(number, rest) for number, rest in (line.split(maxsplit=1) for line in lines if line.strip())]
        except (OSError, ValueError) as error:
            raise DataError(f"{self._root / name}: cannot be read ({error})") from error

    @cached_property
    def _boxes(self) -> dict[str, tuple[float, ...]]:
        return {number: tuple(map(float, rest.split())) for number, rest in self._table("bounding_boxes.txt")}

    @cached_property
    def part_names(self) -> dict[str, str]:
        """Name of each of the 15 parts, by its number."""
        return dict(self._table("parts/parts.txt"))

    @cached_property
    def _places(self) -> dict[str, dict[str, tuple[float, float]]]:
        """Centre (x, y) of each visible part, by photograph."""
        found: dict[str, dict[str, tuple[float, float]]] = defaultdict(dict)
        for number, rest in self._table("parts/part_locs.txt"):
            part, x, y, visible = rest.split()
            if visible == "1":
                found[number][self.part_names[part]] = (float(x), float(y))
        return found

    def _box_mask(self, number: str, path: Path) -> Mask:
        mask = _empty(path)
        x, y, width, height = self._boxes[number]
        mask[int(y) : int(np.ceil(y + height)), int(x) : int(np.ceil(x + width))] = True
        return mask

    def _part_masks(self, number: str, path: Path) -> dict[str, Mask]:
        """A disc around the place of each visible part."""
        radius = max(PART_SIZE / 2 * max(self._boxes[number][2:]), 2.0)
        empty = _empty(path)
        rows, columns = np.ogrid[: empty.shape[0], : empty.shape[1]]
        return {
            part: np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)
            for part, (x, y) in self._places[number].items()
        }

    @cached_property
    def _attribute_names(self) -> list[str]:
        path = next(path for path in (self._folder / "attributes.txt", self._root / "attributes.txt") if path.exists())
        return [line.split(maxsplit=1)[1] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]

    @cached_property
    def _strengths(self) -> NDArray[np.float64]:
        """Share of people who saw each attribute, by class, (classes, 312)."""
        path = self._root / "attributes" / "class_attribute_labels_continuous.txt"
        return np.loadtxt(path) / 100

    @cached_property
    def _seen(self) -> dict[str, list[int]]:
        """Attributes seen in each photograph, where the distribution has them (the official one does)."""
        path = self._root / "attributes" / "image_attribute_labels.txt"
        found: dict[str, list[int]] = defaultdict(list)
        if path.exists():
            with open(path, encoding="utf-8") as lines:
                for line in lines:
                    number, attribute, present, *_ = line.split()
                    if present == "1":
                        found[number].append(int(attribute) - 1)
        return found

    def _attributes(self, number: str) -> Mapping[str, float]:
        """1 for each attribute seen in the photograph; where nobody looked, the strengths of its species."""
        names = self._attribute_names
        if self._seen:
            return {names[attribute]: 1.0 for attribute in self._seen[number]}
        official = {label: int(class_number) for class_number, label in self._class_of.items()}[self._labels[number]]
        return dict(zip(names, self._strengths[official - 1].tolist(), strict=True))

    def _captions(self, file: str) -> Sequence[str]:
        path = (self._folder / "text_c10" / file).with_suffix(".txt")
        try:
            return [
                line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
            ]
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def readable(species: str) -> str:
    """“Black footed Albatross” of “001.Black_footed_Albatross”."""
    return species.partition(".")[2].replace("_", " ") or species


def _fetched(name: str) -> Path:
    """Where a set lies; the subset is taken from the whole where that is there."""
    return fetched("cub" if name == "cub-22" and is_whole("cub") and not is_whole("cub-22") else name)


def _subset() -> list[str]:
    return (shared_directory("data") / "cub" / "classes-22.txt").read_text(encoding="utf-8").split()


def _splits(
    files: Sequence[tuple[str, str]], labels: Mapping[str, int], in_train: Mapping[str, str]
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    seen: dict[int, int] = defaultdict(int)
    for number, _ in files:
        if in_train[number] != "1":
            found["test"].append(number)
            continue
        seen[labels[number]] += 1
        found["val" if seen[labels[number]] % VAL_EACH == 0 else "train"].append(number)
    return found


def _empty(path: Path) -> Mask:
    with Image.open(path) as photo:
        width, height = photo.size
    return np.zeros((height, width), bool)
