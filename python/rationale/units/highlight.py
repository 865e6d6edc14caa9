"""Which pixels excite a unit: by gradients, the deconvnet, guided backprop or LRP, from any of its places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OptionError
from rationale.gradients.baselines import rectified_gradient
from rationale.images import Pixels
from rationale.lrp import propagate
from rationale.lrp.composites import Bounds, Composite
from rationale.lrp.start import RelevanceAt
from rationale.network import Network
from rationale.render.colours import diverging, symmetric_scale
from rationale.units.layers import check_unit, maps_of, source_of, strongest

Array = NDArray[np.float32]
Place = tuple[int, int]

METHODS = ("gradient", "gradient-times-input", "deconv", "guided", "lrp")
STRONGEST, EVERYWHERE = "strongest", "everywhere"


@dataclass(frozen=True)
class From:
    """Where highlighting starts.

    Attributes:
        layer: whose units.
        units: channel, one for all samples of a batch or one for each.
        place: "strongest" (the unit's greatest activation in that sample), "everywhere" (the whole channel), or row and
            column.
    """

    layer: str
    units: int | Sequence[int]
    place: str | Place = STRONGEST


def highlight(
    network: Network,
    batch: Array,
    starts: Sequence[From],
    method: str = "deconv",
    *,
    composite: str | Composite = "epsilon-plus",
    bounds: Bounds | None = None,
) -> list[Array]:
    """What of each sample excites the units, after one forward pass, float32 (N, C, H, W) for each start.

    "gradient": of the unit's value before the ReLU over it, so that it is there for silent units too;
    "gradient-times-input"; "deconv" (Zeiler and Fergus 2014) and "guided" (Springenberg et al. 2015), see
    `rectified_gradient`; "lrp": the unit's activation, distributed over the pixels by `propagate`.

    Args:
        network: with one input.
        batch: float32 (N, C, H, W), already preprocessed.
        starts: each is followed down by itself.
        method: one of METHODS.
        composite, bounds: of LRP.

    Raises:
        OptionError: a method, layer, unit or place is unknown.
        NetworkError: the batch does not fit.
    """
    if method not in METHODS:
        raise OptionError(f"highlighting by {method!r} is unknown; there is {', '.join(METHODS)}")
    for start in starts:
        for unit in np.unique(start.units):
            check_unit(network, start.layer, int(unit))
    if method == "lrp":
        begun = [RelevanceAt(start.layer, _relevance_from(start)) for start in starts]
        (name,) = network.inputs
        found = propagate(network, batch, start=begun, composite=composite, bounds=bounds, keep=[name])
        return [each[name] for each in found]
    network.forward(batch)
    starts = [_below_joins(network, start) for start in starts]
    seeds = [seed_of(network.activation(start.layer), start) for start in starts]
    return [_below(network, batch, start, seed, method) for start, seed in zip(starts, seeds, strict=True)]


def _below_joins(network: Network, start: From) -> From:
    """The same units under joins and ReLUs, where silent ones have gradients, if they all lie in one layer there."""
    units = np.atleast_1d(np.asarray(start.units)).tolist()
    sources = [source_of(network, network.graph.node(start.layer).name, unit) for unit in units]
    if len({layer for layer, _ in sources}) != 1:
        return start
    numbers = [unit for _, unit in sources]
    return From(sources[0][0], numbers if len(numbers) > 1 else numbers[0], start.place)


def seed_of(activation: Array, start: From) -> Array:
    """1 where highlighting starts, 0 elsewhere, shaped like the layer's activation, batch first.

    Raises:
        OptionError: there is no such place, or another number of units than samples.
    """
    maps = maps_of(activation)
    count, _, height, width = maps.shape
    units = np.atleast_1d(np.asarray(start.units))
    if len(units) not in (1, count):
        raise OptionError(f"{len(units)} units for a batch of {count}: give one, or one for each sample")
    units = np.broadcast_to(units, count)
    seed = np.zeros(maps.shape, np.float32)
    rows = np.arange(count)
    if start.place == EVERYWHERE:
        seed[rows, units] = 1
    elif start.place == STRONGEST:
        flat = strongest(maps)[1][rows, units]
        seed[rows, units, flat // width, flat % width] = 1
    elif isinstance(start.place, str) or len(start.place) != 2:
        raise OptionError(f"place {start.place!r} is unknown; there is {STRONGEST}, {EVERYWHERE}, or row and column")
    else:
        row, column = start.place
        if not (0 <= row < height and 0 <= column < width):
            raise OptionError(
                f"layer {start.layer!r} has no place {row}, {column}; its maps have {height} rows of {width}"
            )
        seed[rows, units, row, column] = 1
    return seed.reshape(activation.shape)


def picture_is_signed(method: str) -> bool:
    """Whether what a method finds speaks for and against the unit, in red and blue, rather than being a picture."""
    return method in ("gradient-times-input", "lrp")


def highlight_picture(found: Array, method: str, colour: str) -> Pixels:
    """What `highlight` found in one picture, drawn, uint8 (H, W, 3), or (H, W) for a picture in greys.

    Relevance, summed over the colours, in red and blue; gradients and what they project back as a picture around grey.

    Args:
        found: (C, H, W).
        method: by which it was found.
        colour: of the input: grey, rgb or bgr.
    """
    if picture_is_signed(method):
        total = found.sum(axis=0)
        return diverging(total, symmetric_scale(total))
    scale = symmetric_scale(found)
    drawn = np.round(127.5 + 127.5 * np.clip(found / scale, -1, 1)).astype(np.uint8)
    if colour == "grey":
        return np.asarray(drawn[0])
    return np.ascontiguousarray((drawn[::-1] if colour == "bgr" else drawn).transpose(1, 2, 0))


def _relevance_from(start: From) -> Callable[[Array], Array]:
    return lambda activation: activation * seed_of(activation, start)


def _below(network: Network, batch: Array, start: From, seed: Array, method: str) -> Array:
    if method in ("deconv", "guided"):
        return rectified_gradient(network, start.layer, seed, guided=method == "guided")
    (slope,) = network.backward(start.layer, gradient=seed).values()
    return slope if method == "gradient" else np.asarray(batch * slope, np.float32)
