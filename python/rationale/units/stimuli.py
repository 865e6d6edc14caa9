"""Preferred stimuli: pictures made to excite units, for a batch of units at once, stopped and resumed, into the store.

Only the part of the network below the units runs, on no more of a picture than they see, where the network lets it.
"""

import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError, OutputError
from rationale.explanation import hdf5_name
from rationale.images import Pixels
from rationale.model import Model
from rationale.network import Box, Network, cut, part_below, receptive_fields
from rationale.resources import as_json, printable
from rationale.units.ascent import Climb, Slope, stretched
from rationale.units.layers import check_unit, maps_of, source_of, strongest
from rationale.units.recipes import Recipe
from rationale.units.store import Store, changed, replace, replace_strips
from rationale.units.strips import pack

Array = NDArray[np.float32]
Report = Callable[[int, int, str], None]

TOGETHER = 16  # units in one batch
_MARGIN = 8  # pixels around what a unit sees, for what moves the picture
_NOISE = 10.0  # standard deviation of the first picture, in grey levels
_KEEP_EVERY = 5.0  # seconds between two states on disk
_SHIFT = 1 / 16  # of what a unit sees, at least one pixel


@dataclass(frozen=True, eq=False)
class Made:
    """Stimuli of some units of one layer.

    Attributes:
        units: channels, (N,); a unit comes several times where several stimuli were asked for.
        pictures: uint8 (h, w) or (h, w, 3), what the unit sees.
        activation: of each, for the picture as it is, in whole grey levels.
        shifted: the mean when it is moved up, down, left and right by a sixteenth.
    """

    units: NDArray[np.int64]
    pictures: Sequence[Pixels]
    activation: Array
    shifted: Array


@dataclass(frozen=True, eq=False)
class _Stage:
    """Where a layer's units are excited: a network, the size of its input, a place in their maps and what it sees."""

    network: Network
    size: tuple[int, int]
    place: tuple[int, int]
    boxes: Sequence[Box]


def make_stimuli(
    model: Model,
    layer: str,
    units: Sequence[int],
    recipe: Recipe,
    *,
    sign: int = 1,
    best: Array | None = None,
    start: Pixels | None = None,
    seed: int = 0,
    report: Report = lambda done, total, what: None,
    state: Path | None = None,
) -> Made:
    """Makes pictures that excite units most (or, for sign −1, least): one batch.

    Args:
        model: whose units.
        layer: of the network.
        units: channels; several times the same for several stimuli of it.
        recipe: how.
        sign: +1 or −1.
        best: magnitude of the activation that real pictures reach, by which the recipe's rates are scaled; 50 where
            None.
        start: a picture as `Model.view` gives it to begin with, instead of noise.
        seed: of noise and moves.
        report: called with the steps done and their number.
        state: a file that keeps what is needed to go on; one that is there is gone on with, if it is of the same run.

    Raises:
        OptionError: no such layer or unit.
    """
    sources = [source_of(model.network, check_unit(model.network, layer, unit).name, unit) for unit in units]
    found: dict[int, tuple[Pixels, float, float]] = {}
    layers = list(dict.fromkeys(name for name, _ in sources))
    for number, name in enumerate(layers):
        rows = [row for row, source in enumerate(sources) if source[0] == name]

        def advance(done: int, values: Array, before: int = number * recipe.iterations) -> None:
            report(before + done, len(layers) * recipe.iterations, f"activation {float(np.mean(values)):.4g}")

        asked = [sources[row][1] for row in rows]
        magnitude = np.full(len(rows), 50.0, np.float32) if best is None else np.maximum(np.abs(best[rows]), 1e-6)
        some = _make(model, name, asked, recipe, sign, magnitude, start, seed, advance, state)
        found.update(zip(rows, some, strict=True))
    if state is not None:
        state.unlink(missing_ok=True)
    pictures, activation, shifted = zip(*(found[row] for row in range(len(units))), strict=True)
    return Made(np.asarray(units, np.int64), pictures, np.array(activation, np.float32), np.array(shifted, np.float32))


def _make(
    model: Model,
    layer: str,
    units: Sequence[int],
    recipe: Recipe,
    sign: int,
    magnitude: Array,
    start: Pixels | None,
    seed: int,
    report: Callable[[int, Array], None],
    state: Path | None,
) -> list[tuple[Pixels, float, float]]:
    """Picture, activation and activation when shifted of each unit; all at once."""
    stage = _stage(model, layer, units)
    channels = model.description.input.channels
    mean = np.broadcast_to(np.array(model.description.input.mean, np.float32), channels).reshape(channels, 1, 1)
    scale = model.description.input.scale
    numbers = np.asarray(units, np.int64)
    slope = Slope(stage.network, layer, numbers, stage.place, sign, magnitude, scale, 0 - mean, 255 - mean)
    pixels = _first(model, layer, numbers, stage, start, mean, seed, middle=recipe.fourier)
    climb = Climb.begin(recipe, pixels, slope, seed + 1)
    run = as_json([model.classifier_fingerprint, layer, list(units), asdict(recipe), sign, seed, start is not None])
    if state is not None:
        _go_on(climb, state, run)
    kept = monotonic()

    def after(done: int, values: Array) -> None:
        nonlocal kept
        if state is not None and done < recipe.iterations and monotonic() - kept > _KEEP_EVERY:
            _keep(climb, state, run)
            kept = monotonic()
        report(done, values)

    try:
        pixels = climb.run(slope, after)
    except KeyboardInterrupt:
        if state is not None:
            _keep(climb, state, run)
        raise
    if not recipe.fourier:  # as in the original, whose decay leaves little contrast
        pixels = stretched(pixels, slope)
    whole = np.clip(np.round(pixels + mean), 0, 255)
    activation = slope.activation(whole - mean)
    shifted = _shifted(slope, whole - mean, stage.boxes)
    colour = model.description.input.colour
    pictures = [_picture(each, box, colour) for each, box in zip(whole, stage.boxes, strict=True)]
    return list(zip(pictures, activation.tolist(), shifted.tolist(), strict=True))


def add_stimuli(
    model: Model,
    path: Path,
    layer: str,
    units: Sequence[int],
    recipe: Recipe,
    *,
    sign: int = 1,
    count: int = 1,
    start: Pixels | None = None,
    seed: int = 0,
    together: int = TOGETHER,
    report: Report = lambda done, total, what: None,
) -> int:
    """Makes the stimuli of some units that the store lacks and adds them, batch by batch; returns how many it made.

    Args:
        model, layer, units, recipe, sign, start, seed: as in `make_stimuli`.
        path: of the store.
        count: stimuli of each unit.
        together: units in a batch.
        report: called with the steps done over all batches, and their number.

    Raises:
        OptionError: no such layer or unit, or not in the store.
        DataError: there is no store.
        OutputError: it cannot be written.
    """
    store = Store.open(path, model)
    for unit in units:
        node = check_unit(model.network, layer, unit)
        store.check(node.name, unit)
    name = recipe.name + (" from a photo" if start is not None else "")
    there = _there(store, node.name, name, sign)
    missing = [unit for unit in dict.fromkeys(units) if there.get(unit, 0) < count]
    values = store.values(node.name)
    best = values["greatest"] if sign > 0 else values["least"]
    usual = np.maximum(np.abs(values["greatest"]), np.abs(values["least"]))
    usual = np.where(usual > 0, usual, max(float(usual.max()), 1e-6)).astype(np.float32)  # dead ones as the others
    each = max(1, together // count)
    batches = [missing[at : at + each] for at in range(0, len(missing), each)]
    total = len(batches) * recipe.iterations
    for number, batch in enumerate(batches):
        asked = [unit for unit in batch for _ in range(count)]
        done_before = number * recipe.iterations

        def advance(done: int, _: int, what: str, before: int = done_before) -> None:
            report(before + done, total, what)

        made = make_stimuli(
            model,
            node.name,
            asked,
            recipe,
            sign=sign,
            best=usual[asked],
            start=start,
            seed=seed,
            report=advance,
            state=path.with_name(path.name + ".stimuli.npz"),
        )
        _write(path, node.name, name, recipe, sign, made, best)
    return len(missing)


def _there(store: Store, layer: str, name: str, sign: int) -> dict[int, int]:
    """How many stimuli of a recipe each unit has."""
    found: dict[int, int] = {}
    for unit in store.made(layer, _group_name(name, sign)):
        found[unit] = found.get(unit, 0) + 1
    return found


def _group_name(name: str, sign: int) -> str:
    return hdf5_name(name + ("" if sign > 0 else " (least)"))


def _write(path: Path, layer: str, name: str, recipe: Recipe, sign: int, made: Made, best: Array) -> None:
    """Adds a batch; what the same units had by the same recipe is replaced."""
    with changed(path) as file:
        parent = file["layers"][hdf5_name(layer)].require_group("stimuli")
        group = parent.require_group(_group_name(name, sign))
        pictures = [pack([each]) for each in made.pictures]
        columns: dict[str, NDArray[Any]] = {
            "unit": made.units.astype(np.int32),
            "activation": made.activation,
            "shifted": made.shifted,
            "best": best[made.units].astype(np.float32),
        }
        if "unit" in group:
            keep = ~np.isin(group["unit"][()], made.units)
            pictures = [bytes(each) for each in group["picture"][keep]] + pictures
            columns = {key: np.concatenate([group[key][keep], values]) for key, values in columns.items()}
        for key, values in columns.items():
            replace(group, key, values)
        replace_strips(group, "picture", pictures)
        group.attrs.update({"recipe": printable(name), "sign": sign, "settings": as_json(asdict(recipe))})


def _stage(model: Model, layer: str, units: Sequence[int]) -> _Stage:
    """The smallest input on which a unit in the middle sees as much as anywhere."""
    network = model.network
    whole = network.inputs[next(iter(network.inputs))][2:]
    try:
        part = part_below(network, layer)
    except NetworkError:
        part = network
    field = receptive_fields(network)[layer]
    sizes = [field.size(unit) for unit in units]
    size = (max(each[0] for each in sizes), max(each[1] for each in sizes))
    for wanted in _sizes(size, (whole[0], whole[1])):
        found = _placed(part, layer, units, wanted, size)
        if found is not None:
            return found
    raise NetworkError(f"{network.name}: units of {layer!r} see nothing of the input")


def _sizes(field: tuple[int, int], whole: tuple[int, int]) -> list[tuple[int, int]]:
    """Sizes to try: what is seen with a margin, somewhat more for strides that do not fit, and the whole input."""
    tried = [
        (min(whole[0], field[0] + 2 * _MARGIN + more), min(whole[1], field[1] + 2 * _MARGIN + more))
        for more in (0, 16, 32)
    ]
    return list(dict.fromkeys([*tried, whole]))


def _placed(
    part: Network, layer: str, units: Sequence[int], size: tuple[int, int], field_size: tuple[int, int]
) -> _Stage | None:
    """A place in the middle from which units see all that they can, on an input of that size; None if there is none."""
    (shape,) = part.inputs.values()
    try:
        part.forward(np.zeros((1, shape[1], *size), np.float32))
    except NetworkError:  # a dense layer wants the whole input
        return None
    field = receptive_fields(part)[layer]
    _, height, width = field.shape
    spots = [(row, column) for row in range(height) for column in range(width)]
    spots.sort(key=lambda spot: abs(spot[0] - (height - 1) / 2) + abs(spot[1] - (width - 1) / 2))
    largest = max(units, key=lambda unit: field.size(unit))
    for spot in spots:
        box = field.box(largest, *spot)
        if box is not None and box.size == field_size:
            boxes = [field.box(unit, *spot) or box for unit in units]
            return _Stage(part, size, spot, boxes)
    return None


def _first(
    model: Model,
    layer: str,
    units: NDArray[np.int64],
    stage: _Stage,
    start: Pixels | None,
    mean: Array,
    seed: int,
    *,
    middle: bool,
) -> Array:
    """What to begin with, pixels less the mean: noise (about the middle of all greys if asked), or part of a photo."""
    channels = len(mean)
    if start is None:
        random = np.random.default_rng(seed)
        noise = random.normal(0, _NOISE, (len(units), channels, *stage.size))
        return np.asarray(noise + (127.5 - mean if middle else 0), np.float32)
    network, scale = model.network, model.description.input.scale
    batch = model.preprocess([start])
    network.forward(batch)
    maps = maps_of(network.activation(layer))
    field = receptive_fields(network)[layer]
    found = []
    for unit, seen in zip(units.tolist(), stage.boxes, strict=True):
        spot = divmod(int(strongest(maps)[1][0, unit]), maps.shape[3])
        box = field.crop(unit, *spot) or Box(0, 0, *field.extent)
        top, left = box.top - seen.top, box.left - seen.left
        window = Box(top, left, top + stage.size[0], left + stage.size[1])
        found.append(cut(batch[0].transpose(1, 2, 0), window).transpose(2, 0, 1) / scale)
    return np.ascontiguousarray(found, np.float32)


def _shifted(slope: Slope, pixels: Array, boxes: Sequence[Box]) -> Array:
    """The mean activation when pictures are moved a little in four directions, their borders drawn out."""
    step = max(1, round(_SHIFT * min(min(box.size) for box in boxes)))
    padded = np.pad(pixels, ((0, 0), (0, 0), (step, step), (step, step)), mode="edge")
    height, width = pixels.shape[2:]
    found = [
        slope.activation(np.ascontiguousarray(padded[:, :, y : y + height, x : x + width]))
        for y, x in ((0, step), (2 * step, step), (step, 0), (step, 2 * step))
    ]
    return np.asarray(np.mean(found, axis=0), np.float32)


def _picture(pixels: Array, box: Box, colour: str) -> Pixels:
    """What the unit sees, uint8 (h, w) or (h, w, 3) RGB, of pixel values (C, H, W)."""
    seen = pixels[:, box.top : box.bottom, box.left : box.right].astype(np.uint8)
    if colour == "grey":
        return np.ascontiguousarray(seen[0])
    return np.ascontiguousarray((seen[::-1] if colour == "bgr" else seen).transpose(1, 2, 0))


def _keep(climb: Climb, state: Path, run: str) -> None:
    partial = state.with_suffix(".part")
    try:
        with open(partial, "wb") as file:
            np.savez(file, run=np.array(run), **climb.saved())
        partial.replace(state)
    except OSError as error:
        raise OutputError(f"{state}: cannot be written ({error.strerror or error})") from error
    finally:
        partial.unlink(missing_ok=True)


def _go_on(climb: Climb, state: Path, run: str) -> None:
    """Takes up what an earlier call left, if it is of the same run and whole."""
    with suppress(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile), np.load(state) as saved:
        if str(saved["run"]) == run:
            climb.restore(saved)
