"""One pass over all pictures: which of them excite each unit most, least and in between, and carry its relevance.

The pass is a job of `rationale.batch`: its parts lie in `<store>.parts`, and however it ends, the same command goes on
with those that are there. Only the finished scan goes into the store.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rationale.batch import Crew, Job
from rationale.batch.parts import Parts
from rationale.batch.worker import Arrays
from rationale.datasets import Split
from rationale.datasets.splitting import fingerprint, near_duplicates
from rationale.errors import DataError, ImageError, OptionError, OutputError
from rationale.explanation import hdf5_name
from rationale.images import Pixels
from rationale.model import Model
from rationale.network import Box, Field, receptive_fields
from rationale.resources import as_json, printable
from rationale.units.highlight import METHODS, From, highlight, highlight_picture, picture_is_signed
from rationale.units.layers import maps_of, strongest
from rationale.units.names import EVIDENCE
from rationale.units.rank import NONE, Rows, Statistics, highest, lowest, spread, statistics, without_twins
from rationale.units.store import KINDS, LAYOUT, Store, changed, replace, replace_strips
from rationale.units.strips import crop_of, pack

Array = NDArray[np.float32]
Report = Callable[[int, int, str], None]  # done, of how many, of what

_SPARE = 4  # so many times the pictures wanted are looked at where near-duplicates are dropped
_TOGETHER = 32  # units that are followed down from one forward pass
_CACHE = 512 * 2**20  # bytes of pictures that are kept in memory


@dataclass(frozen=True)
class Wanted:
    """What a scan keeps.

    Attributes:
        layers: whose units.
        count: pictures of each kind for each unit.
        kinds: of KINDS; relevance is only computed for "relevant".
        distinct: of near-duplicates keep one.
        side: of a crop, in pixels, at most; larger ones are made smaller.
        composite: how relevance is propagated; the model's own way where None.
        highlight: by which of METHODS it is drawn what excites the unit in its top pictures; not at all where empty.

    Raises:
        OptionError: a kind or method is unknown, or a number makes no sense.
    """

    layers: tuple[str, ...]
    count: int = 9
    kinds: tuple[str, ...] = tuple(KINDS)
    distinct: bool = False
    side: int = 64
    composite: str | None = None
    highlight: str = ""

    def __post_init__(self) -> None:
        if self.highlight and self.highlight not in METHODS:
            raise OptionError(f"highlighting by {self.highlight!r} is unknown; there is {', '.join(METHODS)}")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise OptionError(f"pictures of the kind {unknown[0]!r} are unknown; there are {', '.join(KINDS)}")
        if not self.kinds or not self.layers or self.count < 1 or self.side < 1:
            raise OptionError("a scan wants a layer, a kind of pictures, and numbers from 1 up")


@dataclass(frozen=True)
class Scanned:
    """A finished scan: its store, how many pictures were looked at, and those that could not be read, with why."""

    path: Path
    pictures: int
    unreadable: Sequence[str]


@dataclass(frozen=True)
class Look:
    """What is kept of each picture: for each layer, by its number, the greatest activation of each unit and where.

    Attributes:
        layers: names.
        relevance: also keep the unit's relevance for the picture's class, and where there is most of it.
        composite: as in `Wanted`.
    """

    layers: tuple[str, ...]
    relevance: bool = False
    composite: str | None = None

    def __call__(self, model: Model, split: Split, rows: Sequence[int]) -> Arrays:
        """Of these pictures, NaN for those that cannot be read; `problem` says why not."""
        problems, batches = [], []
        for start in range(0, len(rows), model.batch_size):
            views, some = [], rows[start : start + model.batch_size]
            for row in some:
                view, problem = _view(model, split, row)
                problems.append(problem)
                views.append(view)
            batches.append(self._of_batch(model, split, some, views))
        found: Arrays = {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}
        found["problem"] = np.array(problems)
        return found

    def _of_batch(self, model: Model, split: Split, rows: Sequence[int], views: Sequence[Pixels | None]) -> Arrays:
        blank = np.zeros((*model.input_size, 3)[: 2 if model.description.input.channels == 1 else 3], np.uint8)
        unreadable = np.array([view is None for view in views])
        shown = [blank if view is None else view for view in views]
        network, found = model.network, dict[str, NDArray[Any]]()
        if self.relevance:
            keep = [each for each in self.layers if each in _reached(model)]
            relevance = model.relevance(shown, _classes(model, split, rows), composite=self.composite, keep=keep)
            for number, layer in enumerate(self.layers):
                if layer in keep:
                    found[f"relevance/{number}"] = relevance.channels(layer)
                    found[f"relevant/{number}"] = strongest(maps_of(relevance[layer]))[1]
        else:
            network.forward(model.preprocess(shown))
        for number, layer in enumerate(self.layers):
            maps = maps_of(network.data(network.graph.blob(layer)))
            found[f"value/{number}"], found[f"place/{number}"] = strongest(maps)
        for values in found.values():
            if values.dtype.kind == "f":
                values[unreadable] = np.nan
        return found


def scan(
    model: Model,
    split: Split,
    path: Path,
    wanted: Wanted,
    report: Report = lambda done, total, what: None,
    *,
    crew: Crew | None = None,
    credit: str = "",
) -> Scanned:
    """Looks at every picture and puts what stands for each unit into the store at `path`.

    Layers that the store holds already are made anew, others stay.

    Args:
        model: the classifier.
        split: the pictures.
        path: of the store.
        wanted: what is kept.
        report: called with the pictures, then the layers done, and their number.
        crew: who does it.
        credit: whose the pictures are, kept with them.

    Raises:
        OptionError: the store is of another model, weights or pictures.
        OutputError: it cannot be written.
        DataError: no picture can be read.
    """
    crew = crew or Crew()
    if not path.parent.is_dir():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    about: dict[str, str | int] = {
        "layout": LAYOUT,
        "model": model.name,
        "fingerprint": model.classifier_fingerprint,
        "dataset": printable(str(split.folder or model.description.dataset or "")),
        "split": split.name,
        "pictures": split.fingerprint(),
        "classes": as_json(list(model.labels)),
        "credit": credit,
    }
    _check_same(path, model, about)
    relevance = "relevant" in wanted.kinds
    composite = model.composite(wanted.composite).name
    folder = path.with_name(path.name + ".parts")
    run = {
        **{key: str(value) for key, value in about.items()},
        "layers": as_json(list(wanted.layers)),
        "relevance": composite if relevance else "",
        "threads": str(crew.threads_for(folder)),
    }
    look = Look(wanted.layers, relevance, wanted.composite)
    size = max(model.batch_size, 512 // model.batch_size * model.batch_size if model.batch_size > 50 else 32)
    job = Job(model, split, look, folder, run, crew, size)
    try:
        with job.begun(lambda done, total: report(done, total, "pictures")) as (parts, done):
            for _ in done:
                pass
            scanned = _Assembly(model, split, wanted, parts).into(path, about, composite if relevance else "", report)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return scanned


def _view(model: Model, split: Split, row: int) -> tuple[Pixels | None, str]:
    try:
        return model.view(split.images[row]), ""
    except ImageError as error:
        return None, str(error)


def _reached(model: Model) -> set[str]:
    """Layers from which the class scores are made."""
    graph = model.network.graph
    return {node.name for node in graph.below(graph.score_node(model.target_layer))}


def _classes(model: Model, split: Split, rows: Sequence[int]) -> NDArray[np.int64] | None:
    """Whose relevance counts: the picture's own class, or the predicted one where it has none."""
    labels = np.asarray(split.labels)[list(rows)]
    return None if (labels < 0).any() or (labels >= len(model.labels)).any() else labels


def _check_same(path: Path, model: Model, about: Mapping[str, Any]) -> None:
    if not path.exists():
        return
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; name a file")
    try:
        stored = Store.open(path, model).about
    except DataError as error:
        raise OutputError(f"{error}; choose another --out") from error
    if stored["pictures"] != about["pictures"]:
        raise OptionError(
            f"{path}: is made of other pictures ({stored['dataset']} {stored['split']}); choose another --out"
        )


class _Assembly:
    """Makes the store of the parts, one layer after the other."""

    def __init__(self, model: Model, split: Split, wanted: Wanted, parts: Parts) -> None:
        self._model, self._split, self._wanted, self._parts = model, split, wanted, parts
        self._fields = receptive_fields(model.network)
        self._views: dict[int, Pixels] = {}
        self._bits: dict[int, NDArray[np.bool_]] = {}
        problems = self._joined("problem")
        self.unreadable = [str(each) for each in problems[problems != ""]]
        self._rows = np.flatnonzero(problems == "")
        if not len(self._rows):
            raise DataError(f"none of the {len(split)} pictures can be read: {self.unreadable[0]}")
        mean = np.broadcast_to(np.round(model.description.input.mean), model.description.input.channels)
        colour = tuple(int(each) for each in np.clip(mean, 0, 255))
        own = colour[::-1] if model.description.input.colour == "bgr" else colour
        self._filling = own[0] if len(own) == 1 else own

    def into(self, path: Path, about: Mapping[str, str | int], composite: str, report: Report) -> Scanned:
        """Writes all layers in one step."""
        order = {node.name: node.index for node in self._model.network.graph.nodes}
        with changed(path, about) as file:
            names = [printable(each) for each in self._split.ids]
            replace(file.require_group("pictures"), "id", names, dtype=h5py.string_dtype(), compression="gzip")
            replace(file["pictures"], "label", np.asarray(self._split.labels, np.int32), compression="gzip")
            for number, layer in enumerate(self._wanted.layers):
                name = hdf5_name(layer)
                if name in file.require_group("layers"):
                    del file["layers"][name]
                group = file["layers"].create_group(name)
                group.attrs.update({"name": printable(layer), "order": order[layer], "composite": composite})
                self._write(group, number, self._fields[layer])
                report(number + 1, len(self._wanted.layers), "layers")
        return Scanned(path, len(self._rows), self.unreadable)

    def _write(self, group: h5py.Group, number: int, field: Field) -> None:
        values = self._joined(f"value/{number}")[self._rows]
        places = self._joined(f"place/{number}")[self._rows]
        found: Statistics = statistics(values)
        for name, array in vars(found).items():
            replace(group, name, array, compression="gzip")
        replace(group, "size", np.array([field.size(each) for each in range(field.shape[0])], np.int32))
        group.attrs["places"] = field.shape[1:]
        most = highest(values, EVIDENCE)
        evidence = group.create_group("evidence")
        replace(
            evidence, "picture", np.where(most == NONE, NONE, self._rows[most]).astype(np.int32), compression="gzip"
        )
        replace(evidence, "place", self._spots(most, places, field), compression="gzip")
        for kind in self._wanted.kinds:
            if kind != "relevant":
                self._write_kind(group, kind, field, values, places)
        if self._wanted.highlight and "top" in self._wanted.kinds:
            self._write_highlights(group)
        if "relevant" in self._wanted.kinds and self._has(f"relevance/{number}"):
            relevance = self._joined(f"relevance/{number}")[self._rows]
            self._write_kind(group, "relevant", field, relevance, self._joined(f"relevant/{number}")[self._rows])

    def _write_kind(self, group: h5py.Group, kind: str, field: Field, values: Array, places: Rows) -> None:
        choose = {"lowest": lowest, "spread": spread}.get(kind, highest)
        count = self._wanted.count
        if self._wanted.distinct:
            rows = without_twins(choose(values, _SPARE * count), self._twins, count)
        else:
            rows = choose(values, count)
        units = np.arange(len(rows))[:, None]
        if kind == "relevant":  # what spoke against the class, or not at all, did not speak for it
            rows = np.where(values[rows, units] > 0, rows, NONE)
        spots = self._spots(rows, places, field)
        boxes = np.zeros((*rows.shape, 4), np.int32)
        for unit, at in np.argwhere(rows != NONE):
            box = field.crop(unit, *spots[unit, at]) or Box(0, 0, *field.extent)
            boxes[unit, at] = (box.top, box.left, box.bottom, box.right)
        where = group.create_group(kind)
        known = rows != NONE
        pictures = np.where(known, self._rows[rows], NONE)
        for name, array in {
            "picture": pictures.astype(np.int32),
            "value": np.where(known, values[rows, units], np.nan).astype(np.float32),
            "place": spots,
            "box": boxes,
        }.items():
            replace(where, name, array, compression="gzip")
        replace_strips(where, "crops", [self._strip(*each) for each in zip(pictures, boxes, strict=True)])

    @staticmethod
    def _spots(rows: Rows, places: Rows, field: Field) -> NDArray[np.int32]:
        """Row and column in the layer's map of where each picture excites each unit, (C, k, 2); NONE for none."""
        flat = places[rows, np.arange(len(rows))[:, None]]
        spots = np.stack([flat // field.shape[2], flat % field.shape[2]], axis=-1)
        return np.where((rows != NONE)[..., None], spots, NONE).astype(np.int32)

    def _write_highlights(self, group: h5py.Group) -> None:
        """What excites each unit in its top pictures: one forward pass a picture, for all units that it stands for."""
        network, method = self._model.network, self._wanted.highlight
        pictures, boxes = group["top"]["picture"][()], group["top"]["box"][()]
        drawn: dict[tuple[int, int], Pixels] = {}
        for row in np.unique(pictures[pictures != NONE]).tolist():
            batch = self._model.preprocess([self._view(row)])
            found = np.argwhere(pictures == row)
            for start in range(0, len(found), _TOGETHER):
                some = found[start : start + _TOGETHER]
                starts = [From(str(group.attrs["name"]), int(unit)) for unit, _ in some]
                maps = highlight(
                    network,
                    batch,
                    starts,
                    method,
                    composite=self._model.composite(self._wanted.composite),
                    bounds=self._model.bounds,
                )
                for (unit, at), each in zip(some.tolist(), maps, strict=True):
                    picture = highlight_picture(each[0], method, self._model.description.input.colour)
                    box = Box(*boxes[unit, at].tolist())
                    ground = 255 if picture_is_signed(method) else 128
                    filling = ground if picture.ndim == 2 else (ground,) * 3
                    drawn[unit, at] = crop_of(picture, box, filling, self._wanted.side)
        strips = []
        for unit, rows in enumerate(pictures):
            there = [at for at, row in enumerate(rows) if row != NONE]
            blank = np.full_like(drawn[unit, there[0]], 255) if there else None
            strips.append(pack([drawn.get((unit, at), blank) for at in range(len(rows))]) if there else b"")  # type: ignore[misc]
        replace_strips(group["top"], "highlight", strips)
        group["top"]["highlight"].attrs["method"] = method

    def _strip(self, pictures: Rows, boxes: NDArray[np.int32]) -> bytes:
        """The crops of one unit; empty where it has no pictures."""
        crops: list[Pixels | None] = [
            None if row == NONE else crop_of(self._view(int(row)), Box(*box.tolist()), self._filling, self._wanted.side)
            for row, box in zip(pictures, boxes, strict=True)
        ]
        there = [crop for crop in crops if crop is not None]
        if not there:
            return b""
        empty = np.full_like(there[0], 255)
        return pack([empty if crop is None else crop for crop in crops])

    def _twins(self, rows: Rows) -> NDArray[np.int64]:
        """Group numbers of some readable pictures, by what they look like."""
        bits = []
        for row in self._rows[rows].tolist():
            if row not in self._bits:
                self._bits[row] = fingerprint(self._view(row))
            bits.append(self._bits[row])
        return near_duplicates(bits)

    def _view(self, row: int) -> Pixels:
        if row not in self._views:
            view = self._model.view(self._split.images[row])
            if len(self._views) * view.nbytes > _CACHE:
                self._views.clear()
            self._views[row] = view
        return self._views[row]

    def _has(self, name: str) -> bool:
        return name in self._parts.read(0, [name])

    def _joined(self, name: str) -> NDArray[Any]:
        return np.concatenate([self._parts.read(start, [name])[name] for start in self._parts.starts])
