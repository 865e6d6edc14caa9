"""The store: one HDF5 file with what is known of a model's units. docs/units.md gives its layout.

It is never changed in place: a change is made on a copy, which takes its place in one step when it is whole.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import NDArray

from rationale.errors import DataError, OptionError, OutputError
from rationale.explanation import hdf5_name
from rationale.images import Pixels
from rationale.model import Model
from rationale.network import Box
from rationale.resources import cache_directory, held, shared_directory, write_whole
from rationale.units.rank import NONE
from rationale.units.strips import as_uri, unpack

Array = NDArray[np.float32]

LAYOUT = 1  # another number for another layout
KINDS: Mapping[str, str] = {
    "top": "highest activation",
    "relevant": "highest relevance",
    "spread": "weak to strong",
    "lowest": "lowest activation",
}


@dataclass(frozen=True, eq=False)
class Example:
    """One picture that stands for a unit.

    Attributes:
        id, label: of the picture; the label is its class's number, or −1.
        value: the unit's activation, or its relevance for the picture's class where that ranks it.
        place: row and column in the layer's map.
        box: what the unit sees there, in the network's view of the picture; it may reach beyond.
        crop: that part, uint8 (h, w) or (h, w, 3), made smaller where it was large; None where none was kept.
        highlight: what excites the unit in it, drawn by `method`; None where it was not asked for.
        method: of highlighting.
    """

    id: str
    label: int
    value: float
    place: tuple[int, int]
    box: Box
    crop: Pixels | None
    highlight: Pixels | None = None
    method: str = ""


@dataclass(frozen=True, eq=False)
class Stimulus:
    """A picture made to excite a unit.

    Attributes:
        recipe: its name.
        sign: +1 for the most positive activation, −1 for the most negative.
        picture: uint8 (h, w) or (h, w, 3), the part that the unit sees.
        activation: of the unit at the place it was made for.
        best: that of the unit's best real picture (its lowest for sign −1).
        shifted: the mean activation at that place when the picture is moved a little.
    """

    recipe: str
    sign: int
    picture: Pixels
    activation: float
    best: float
    shifted: float

    @property
    def is_fragile(self) -> bool:
        """Whether it only works where it stands: a small shift takes more than half of what it does."""
        return self.shifted * self.sign < 0.5 * self.activation * self.sign


@dataclass(frozen=True, eq=False)
class Unit:
    """What is known of one unit.

    Attributes:
        layer, number: which channel of which layer.
        size: height and width of what it sees, in pixels of the input.
        least, greatest, mean: of its activation (its strongest place) over the pictures.
        fires: share of the pictures that excite it more than the least.
        dead: whether it is the same for every picture.
        histogram: pictures in equal steps from `least` to `greatest`.
        partners: other units of the layer that go with it, with Pearson's r.
        examples: pictures of each kind in KINDS.
        stimuli: made for it.
        name: what its top pictures have in common; empty where evidence is weak.
        evidence: for the name, in words.
    """

    layer: str
    number: int
    size: tuple[int, int]
    least: float
    greatest: float
    mean: float
    fires: float
    dead: bool
    histogram: NDArray[np.int64]
    partners: Sequence[tuple[int, float]]
    examples: Mapping[str, Sequence[Example]]
    stimuli: Sequence[Stimulus] = ()
    name: str = ""
    evidence: str = ""


@dataclass(frozen=True)
class Store:
    """A store that is there, open for reading one thing at a time.

    Attributes:
        path: of the file.
        about: its attributes: model, fingerprint, dataset, split, pictures, composite, credit.
    """

    path: Path
    about: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, model: Model | None = None) -> Self:
        """The store in a file.

        Args:
            path: of the file.
            model: whose store it must be.

        Raises:
            DataError: there is none, it is damaged, or of another layout.
            OptionError: it is of another model, or of other weights.
        """
        if not path.is_file():
            named = f" --model {model.name}" if model is not None else ""
            raise DataError(f"{path}: there is no store of units; `rationale units top{named}` makes it")
        with _reading(path) as file:
            about = {key: _plain(value) for key, value in file.attrs.items()}
        if "fingerprint" not in about or "layout" not in about:
            raise DataError(f"{path}: is no store of units; `rationale units top` makes one")
        if about["layout"] != LAYOUT:
            raise DataError(f"{path}: has the layout {about['layout']}, not {LAYOUT}; make it again")
        if model is not None and about["fingerprint"] != model.classifier_fingerprint:
            raise OptionError(
                f"{path}: is of other weights or another network than {model.name!r} has now; "
                f"make one with `rationale units top --model {model.name} --out FILE`"
            )
        return cls(path, about)

    @property
    def source(self) -> str:
        """Where its pictures are from, with whom to credit."""
        found = f"{self.about['dataset']} {self.about['split']}"
        return f"{found}; {self.about['credit']}" if self.about.get("credit") else found

    @cached_property
    def layers(self) -> dict[str, int]:
        """Names of the layers, from the input up, with their numbers of units."""
        with _reading(self.path) as file:
            groups = sorted(file["layers"].values(), key=lambda group: int(group.attrs["order"]))
            return {str(group.attrs["name"]): len(group["least"]) for group in groups}

    def check(self, layer: str, unit: int | None = None) -> None:
        """Makes sure that a layer, or one of its units, is there.

        Raises:
            OptionError: it is not.
        """
        if layer not in self.layers:
            raise OptionError(
                f"{self.path}: has no layer {layer!r}; it has {', '.join(self.layers)}; "
                f"`rationale units top --layers {layer}` adds one"
            )
        if unit is not None and not 0 <= unit < self.layers[layer]:
            raise OptionError(f"layer {layer!r} has no unit {unit}; it has 0 to {self.layers[layer] - 1}")

    def unit(self, layer: str, number: int, *, crops: bool = True) -> Unit:
        """Everything about one unit; without `crops`, its examples have none.

        Raises:
            OptionError: no such layer or unit.
        """
        return self.units(layer, [number], crops=crops)[0]

    def units(self, layer: str, numbers: Sequence[int], *, crops: bool = True) -> list[Unit]:
        """Several units of a layer, with one opening of the file."""
        for number in numbers:
            self.check(layer, number)
        with _reading(self.path) as file:
            group = file["layers"][hdf5_name(layer)]
            pictures = (file["pictures/id"].asstr(), file["pictures/label"])
            return [_read_unit(group, number, pictures, crops) for number in numbers]

    def strips(self, layer: str, kind: str) -> list[str]:
        """The crops of each unit side by side, as addresses of pictures inside a page; empty for none."""
        self.check(layer)
        with _reading(self.path) as file:
            group = file["layers"][hdf5_name(layer)]
            if kind not in group or "crops" not in group[kind]:
                return [""] * self.layers[layer]
            return [as_uri(each) for each in group[kind]["crops"][:]]

    def values(self, layer: str) -> Mapping[str, NDArray[Any]]:
        """Arrays over all units of a layer: least, greatest, mean, fires, dead."""
        self.check(layer)
        with _reading(self.path) as file:
            group = file["layers"][hdf5_name(layer)]
            return {name: group[name][()] for name in ("least", "greatest", "mean", "fires", "dead")}

    def made(self, layer: str, recipe: str) -> list[int]:
        """The unit of each stimulus that was made by a recipe, as its group is named."""
        self.check(layer)
        with _reading(self.path) as file:
            group = file["layers"][hdf5_name(layer)].get(f"stimuli/{recipe}")
            return [] if group is None else [int(unit) for unit in group["unit"][()]]

    def names(self, layer: str) -> list[str]:
        """The name of each unit of a layer; empty where there is none."""
        self.check(layer)
        with _reading(self.path) as file:
            group = file["layers"][hdf5_name(layer)]
            if "names" not in group:
                return [""] * self.layers[layer]
            return [str(each) for each in group["names/name"].asstr()[:]]


def store_path(model: Model) -> Path:
    """Where a model's store is: this user's own where there is one, or else that shipped beside its weights."""
    own = own_path(model)
    return own if own.is_file() else shipped_store(model) or own


def shipped_store(model: Model) -> Path | None:
    """The store that comes with a model that is used with the weights that come with it."""
    path = shared_directory("weights") / model.name / "units.h5"
    if not path.is_file() or model.directory.resolve() != (shared_directory("prototxt") / model.name).resolve():
        return None
    with _reading(path) as file:
        return path if file.attrs.get("fingerprint") == model.classifier_fingerprint else None


def own_path(model: Model) -> Path:
    """Where a store goes that this user makes, if nothing else is said."""
    return cache_directory() / "units" / f"{model.name}-{model.classifier_fingerprint}.h5"


def for_writing(model: Model) -> Path:
    """This user's own store of a model; begun as a copy of the shipped one where there is none yet.

    Raises:
        OutputError: it cannot be written.
    """
    own, shipped = own_path(model), shipped_store(model)
    if not own.is_file() and shipped is not None:
        try:
            own.parent.mkdir(parents=True, exist_ok=True)
            write_whole(own, shipped.read_bytes())
        except OSError as error:
            raise OutputError(f"{own}: cannot be written ({error.strerror or error})") from error
    return own


@contextmanager
def changed(path: Path, about: Mapping[str, str | int] | None = None) -> Iterator[h5py.File]:
    """The store for writing; what is written is there as a whole when the block ends without an error, or not at all.

    Args:
        path: of the file; made, with its directory, where there is none.
        about: attributes to set.

    Raises:
        OutputError: it cannot be written, or another process is writing it.
    """
    partial = path.with_name(path.name + ".part")
    with held(path.with_name(path.name + ".lock")) as ours:
        if not ours:
            raise OutputError(f"{path}: another process is writing it")
        try:
            if path.exists():
                shutil.copyfile(path, partial)
            with h5py.File(partial, "a" if path.exists() else "w") as file:
                file.attrs.update(about or {})
                yield file
            with open(partial, "rb") as whole:
                os.fsync(whole.fileno())
            os.replace(partial, path)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
        except RuntimeError as error:  # what h5py makes of a full disk
            raise OutputError(f"{path}: cannot be written ({error})") from error
        finally:
            partial.unlink(missing_ok=True)
            path.with_name(path.name + ".lock").unlink(missing_ok=True)


def replace(group: h5py.Group, name: str, values: Any, **how: Any) -> None:
    """Writes a dataset, in the place of one that is there."""
    if name in group:
        del group[name]
    group.create_dataset(name, data=values, **how)


def replace_strips(group: h5py.Group, name: str, strips: Sequence[bytes]) -> None:
    """Writes compressed pictures of any length, one for each unit."""
    if name in group:
        del group[name]
    data = group.create_dataset(name, (len(strips),), h5py.vlen_dtype(np.uint8))
    for number, strip in enumerate(strips):
        data[number] = np.frombuffer(strip, np.uint8)


@contextmanager
def _reading(path: Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path)
    except OSError as error:
        raise DataError(f"{path}: is no HDF5 file, or damaged ({error})") from error
    with file:
        try:
            yield file
        except (KeyError, OSError, ValueError) as error:
            raise DataError(f"{path}: is damaged ({error})") from error


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _read_unit(group: h5py.Group, number: int, pictures: tuple[Any, Any], crops: bool) -> Unit:
    def value(name: str) -> float:
        return float(group[name][number])

    partners = zip(group["partners"][number].tolist(), group["correlation"][number].tolist(), strict=True)
    name = evidence = ""
    if "names" in group:
        name, evidence = (group[f"names/{each}"].asstr()[number] for each in ("name", "evidence"))
    return Unit(
        layer=str(group.attrs["name"]),
        number=number,
        size=(int(group["size"][number][0]), int(group["size"][number][1])),
        least=value("least"),
        greatest=value("greatest"),
        mean=value("mean"),
        fires=value("fires"),
        dead=bool(group["dead"][number]),
        histogram=group["histogram"][number],
        partners=[(partner, r) for partner, r in partners if partner != NONE],
        examples={kind: _read_examples(group[kind], number, pictures, crops) for kind in KINDS if kind in group},
        stimuli=_read_stimuli(group, number),
        name=name,
        evidence=evidence,
    )


def _read_examples(group: h5py.Group, number: int, pictures: tuple[Any, Any], crops: bool) -> list[Example]:
    rows = group["picture"][number]

    def strip(name: str) -> Sequence[Pixels | None]:
        there = crops and name in group
        return (unpack(group[name][number], len(rows)) if there else []) or [None] * len(rows)

    tiles, lower = strip("crops"), strip("highlight")
    method = str(group["highlight"].attrs["method"]) if "highlight" in group else ""
    found = []
    for at, row in enumerate(rows.tolist()):
        if row != NONE:
            place, box = group["place"][number, at].tolist(), group["box"][number, at].tolist()
            found.append(
                Example(
                    id=str(pictures[0][row]),
                    label=int(pictures[1][row]),
                    value=float(group["value"][number, at]),
                    place=(place[0], place[1]),
                    box=Box(*box),
                    crop=tiles[at],
                    highlight=lower[at],
                    method=method,
                )
            )
    return found


def _read_stimuli(group: h5py.Group, number: int) -> list[Stimulus]:
    found = []
    for stored in group.get("stimuli", {}).values():
        units = stored["unit"][()]
        for at in np.flatnonzero(units == number):
            (picture,) = unpack(stored["picture"][at], 1)
            found.append(
                Stimulus(
                    recipe=str(stored.attrs["recipe"]),
                    sign=int(stored.attrs["sign"]),
                    picture=picture,
                    activation=float(stored["activation"][at]),
                    best=float(stored["best"][at]),
                    shifted=float(stored["shifted"][at]),
                )
            )
    return found
