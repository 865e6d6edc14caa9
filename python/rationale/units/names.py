"""Names for units: what their top pictures have in common, where that cannot well be chance; otherwise none.

Two kinds of evidence, each by an exact test, corrected for all units of the layer and all names that were tried:
top pictures that share a class or an attribute more often than a draw from the data set would (hypergeometric), and top
places that lie in a part more often than those of the layer's units do (binomial). A part must also overlap with where
the unit is active, as in Network Dissection (Bau et al. 2017).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binom, hypergeom

from rationale.datasets import Split
from rationale.errors import ImageError
from rationale.model import Model
from rationale.render.numbers import percent
from rationale.resources import printable
from rationale.units.layers import maps_of
from rationale.units.rank import NONE, Rows
from rationale.units.store import changed, replace

EVIDENCE = 30  # top pictures of each unit that are asked
SURE = 0.01  # probability, after correction, that chance did as well
COMMON = 2 / 3  # share of the top pictures, at least
OVERLAP = 0.04  # intersection over union, at least (Bau et al. 2017)
_FEW = 5  # pictures: fewer say nothing


@dataclass(frozen=True)
class Name:
    """A name with its evidence; both empty where none is sure."""

    text: str = ""
    evidence: str = ""


@dataclass(frozen=True, eq=False)
class Tried:
    """One candidate for each unit: which name, its share among the top, the share to expect, and p after correction."""

    best: NDArray[np.int64]
    share: NDArray[np.float64]
    expected: NDArray[np.float64]
    p: NDArray[np.float64]


def traits_of(split: Split, classes: Sequence[str]) -> tuple[list[str], NDArray[np.bool_]]:
    """What pictures can have in common: names, and which picture has which, (N, names).

    Classes, where they are known, and values of attributes; a strength from 0 to 1 counts from a half up.
    """
    columns: dict[str, NDArray[np.bool_]] = {}
    for number, name in enumerate(classes):
        columns[name] = np.asarray(split.labels) == number
    for row, attributes in enumerate(split.attributes or ()):
        for key, value in attributes.items():
            if isinstance(value, str):
                text, has = _in_words(key, value), True
            else:
                text, has = _plain(key), value >= 0.5
            columns.setdefault(text, np.zeros(len(split), bool))[row] |= has
    kept = {name: column for name, column in columns.items() if 0 < column.sum() < len(split)}
    return list(kept), np.stack(list(kept.values()), axis=1) if kept else np.zeros((len(split), 0), bool)


def by_traits(rows: Rows, has: NDArray[np.bool_]) -> Tried:
    """The trait that is most surprisingly common among each unit's top pictures.

    Args:
        rows: top pictures of each unit, (C, n), NONE for none.
        has: which picture has which trait, (N, V).
    """
    known = rows != NONE
    drawn = known.sum(axis=1)
    found = np.where(known[..., None], has[rows], False).sum(axis=1)
    having = has.sum(axis=0)
    p = hypergeom.sf(found - 1, len(has), having[None], drawn[:, None])
    return _tried(p, found, drawn, np.broadcast_to(having / len(has), found.shape))


def by_parts(inside: NDArray[np.int64], drawn: NDArray[np.int64]) -> Tried:
    """The part in which surprisingly many of each unit's top places lie.

    Args:
        inside: how many, (C, P).
        drawn: top places of each unit, in pictures where parts are known, (C,).
    """
    base = inside.sum(axis=0) / max(1, drawn.sum())
    p = binom.sf(inside - 1, drawn[:, None], base[None])
    return _tried(p, inside, drawn, np.broadcast_to(base, inside.shape))


def _tried(
    p: NDArray[np.float64], found: NDArray[np.int64], drawn: NDArray[np.int64], expected: NDArray[np.float64]
) -> Tried:
    best = p.argmin(axis=1)
    units = np.arange(len(p))
    share = found[units, best] / np.maximum(drawn, 1)
    corrected = np.minimum(p[units, best] * p.size, 1.0)
    return Tried(best, share, expected[units, best], np.where(drawn >= _FEW, corrected, 1.0))


def add_names(model: Model, split: Split, path: Path, layers: Sequence[str]) -> dict[str, int]:
    """Names units in a store by the split that it was made of; returns how many of each layer have one.

    Raises:
        OutputError: the store cannot be written.
    """
    traits, has = traits_of(split, model.labels if (np.asarray(split.labels) >= 0).all() else ())
    named: dict[str, int] = {}
    with changed(path) as file:
        groups = {str(group.attrs["name"]): group for group in file["layers"].values()}
        chosen = {layer: groups[layer] for layer in layers if "evidence" in groups[layer]}
        parts = _Parts.of(model, split, chosen)
        for layer, group in chosen.items():
            rows = group["evidence/picture"][()]
            names = _names(rows, traits, has, parts.counts(layer, rows), parts.names, parts.overlaps.get(layer, {}))
            where = group.require_group("names")
            for key, texts in {"name": [each.text for each in names], "evidence": [e.evidence for e in names]}.items():
                replace(where, key, [printable(text) for text in texts], dtype=h5py.string_dtype(), compression="gzip")
            named[layer] = sum(bool(each.text) for each in names)
    return named


def _names(
    rows: Rows,
    traits: Sequence[str],
    has: NDArray[np.bool_],
    inside: tuple[NDArray[np.int64], NDArray[np.int64]],
    parts: Sequence[str],
    overlaps: Mapping[tuple[int, int], float],
) -> list[Name]:
    by_trait = by_traits(rows, has) if traits else None
    by_part = by_parts(*inside) if parts else None
    found = []
    for unit in range(len(rows)):
        options: list[tuple[float, Name]] = []
        if by_part is not None and by_part.p[unit] < SURE:
            part = int(by_part.best[unit])
            overlap = overlaps.get((unit, part), 0.0)
            if overlap >= OVERLAP:
                said = _said(by_part, unit, int(inside[1][unit]), "places", "of the layer's", len(rows), len(parts))
                options.append((float(by_part.p[unit]), Name(parts[part], f"{said}; IoU {overlap:.2f}")))
        if by_trait is not None and by_trait.p[unit] < SURE and by_trait.share[unit] >= COMMON:
            count = int((rows[unit] != NONE).sum())
            said = _said(by_trait, unit, count, "pictures", "of all", len(rows), len(traits))
            options.append((float(by_trait.p[unit]), Name(traits[int(by_trait.best[unit])], said)))
        found.append(min(options, key=lambda each: each[0])[1] if options else Name())
    return found


def _said(tried: Tried, unit: int, count: int, what: str, whose: str, units: int, names: int) -> str:
    number = round(float(tried.share[unit]) * count)
    return (
        f"{number} of its {count} top {what}, {percent(float(tried.expected[unit]))} {whose}; "
        f"p {tried.p[unit]:.1g}, corrected for {units} units and {names} names"
    )


class _Parts:
    """Where the parts of pictures are, against where units are strongest."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.inside: dict[str, NDArray[np.int64]] = {}
        self.drawn: dict[str, NDArray[np.int64]] = {}
        self.overlaps: dict[str, dict[tuple[int, int], float]] = {}

    @classmethod
    def of(cls, model: Model, split: Split, layers: Mapping[str, Any]) -> "_Parts":
        """One pass over the pictures that are anywhere among the top."""
        if split.parts is None:
            return cls([])
        wanted = {
            layer: (group["evidence/picture"][()], group["evidence/place"][()]) for layer, group in layers.items()
        }
        wanted = {layer: both for layer, both in wanted.items() if np.prod(layers[layer].attrs["places"]) > 1}
        used = np.unique([row for rows, _ in wanted.values() for row in rows[rows != NONE].tolist()]).astype(int)
        masks = {
            int(row): {name: model.view_mask(mask) for name, mask in split.parts[int(row)].items()} for row in used
        }
        names = sorted({name for each in masks.values() for name in each})
        found = cls(names)
        sums: dict[str, NDArray[np.float64]] = {}
        for layer, (rows, _) in wanted.items():
            found.inside[layer] = np.zeros((len(rows), len(names)), np.int64)
            found.drawn[layer] = np.zeros(len(rows), np.int64)
            sums[layer] = np.zeros((2, len(rows), len(names)))
        for row, regions in masks.items():
            try:
                model.network.forward(model.preprocess([model.view(split.images[row])]))
            except ImageError:
                continue
            for layer, (rows, places) in wanted.items():
                for unit, at in np.argwhere(rows == row).tolist():
                    found._look(model, layer, unit, places[unit, at].tolist(), regions, sums[layer])
        for layer, (overlap, count) in sums.items():
            found.overlaps[layer] = {
                (unit, part): overlap[unit, part] / count[unit, part] for unit, part in np.argwhere(count > 0).tolist()
            }
        return found

    def _look(
        self,
        model: Model,
        layer: str,
        unit: int,
        place: Sequence[int],
        regions: Mapping[str, NDArray[np.bool_]],
        sums: NDArray[np.float64],
    ) -> None:
        """One unit in one of its top pictures: in which parts its strongest place lies, and what it overlaps with."""
        network = model.network
        active = maps_of(network.data(network.graph.blob(layer)))[0, unit]
        height, width = model.input_size
        row = int((place[0] + 0.5) / active.shape[0] * height)
        column = int((place[1] + 0.5) / active.shape[1] * width)
        half = Image.fromarray(np.asarray(active, np.float32)).resize((width, height), Image.Resampling.BILINEAR)
        strong = np.asarray(half) > 0.5 * active.max()
        self.drawn[layer][unit] += 1
        for name, region in regions.items():
            part = self.names.index(name)
            self.inside[layer][unit, part] += int(region[row, column])
            union = np.count_nonzero(strong | region)
            if union and region.any():
                sums[:, unit, part] += (np.count_nonzero(strong & region) / union, 1)

    def counts(self, layer: str, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Top places inside each part, (C, P), and how many were looked at, (C,)."""
        if layer in self.inside:
            return self.inside[layer], self.drawn[layer]
        return np.zeros((len(rows), len(self.names)), np.int64), np.zeros(len(rows), np.int64)


def _in_words(key: str, value: str) -> str:
    """ "tail_colour", "red" → "red tail"; "wheels", "protruded" → "protruded wheels"."""
    return f"{_plain(value)} {_plain(key.removesuffix('_colour'))}"


def _plain(text: str) -> str:
    return text.removeprefix("has_").replace("::", " ").replace("_", " ")
