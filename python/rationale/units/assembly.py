"""Makes the store of what a scan looked at: chooses pictures, cuts crops, draws what excites units in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rationale.batch.parts import Parts
from rationale.datasets import Split
from rationale.datasets.splitting import fingerprint, near_duplicates
from rationale.errors import DataError
from rationale.explanation import hdf5_name
from rationale.images import Pixels
from rationale.model import Model
from rationale.network import Box, Field, receptive_fields
from rationale.resources import printable
from rationale.units.highlight import From, highlight, highlight_picture, picture_is_signed
from rationale.units.names import EVIDENCE
from rationale.units.rank import (
    NONE,
    Rows,
    Statistics,
    highest,
    lowest,
    spread,
    statistics,
    stretches_without_twins,
    without_twins,
)
from rationale.units.store import changed, replace, replace_strips
from rationale.units.strips import crop_of, pack
from rationale.units.wanted import Report, Scanned, Wanted

Array = NDArray[np.float32]

_SPARE = 4  # so many times the pictures wanted are looked at where near-duplicates are dropped
_TOGETHER = 32  # units that are followed down from one forward pass
_CACHE = 512 * 2**20  # bytes of pictures that are kept in memory


class Assembly:
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
            sift = stretches_without_twins if kind == "spread" else without_twins
            rows = sift(choose(values, _SPARE * count), self._twins, count)
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
