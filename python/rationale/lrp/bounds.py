"""Least and greatest values of the network's input, carried channel by channel to the layer that reads them (z^B)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.layers import CONSTANTS, operation
from rationale.network import Network, Node

Channels = NDArray[np.float64]
Interval = tuple[Channels, Channels]  # (1,) where all channels have the same, else (C,)
Bounds = tuple[tuple[float, ...], tuple[float, ...]]


def carried_bounds(network: Network, node: Node, bounds: Bounds) -> Bounds:
    """The bounds of what `node` reads, where those of the network's inputs are `bounds`.

    Raises:
        RuleError: a layer between is not known to keep an order among values, so that no bounds follow from it.
    """
    low, high = _below(network, node, node.bottoms[0], (np.asarray(bounds[0]), np.asarray(bounds[1])))
    return tuple(low.tolist()), tuple(high.tolist())


def _below(network: Network, node: Node, blob: int, bounds: Interval) -> Interval:
    """The bounds of a blob as `node` reads it."""
    maker = network.graph.maker(blob, before=node.index)
    if maker is None or maker.type == "Input":
        return _checked(bounds, _shape(network, blob)[1], node)
    if maker.type in CONSTANTS:
        values = network.data(blob)
        values = values.reshape(*values.shape[:2], -1)
        return values.min(axis=(0, 2)).astype(np.float64), values.max(axis=(0, 2)).astype(np.float64)
    carry = _CARRIED.get(maker.type)
    if carry is None:
        raise RuleError(
            f"rule box: the bounds of the input cannot be carried through {maker.name!r} ({maker.type}) to "
            f"{node.name!r}: give {node.name!r} a rule of its own, as box(low, high) with the bounds of what it reads"
        )
    below = [_below(network, maker, bottom, bounds) for bottom in maker.bottoms[: _INPUTS.get(maker.type)]]
    return carry(network, maker, blob, below)


def _shape(network: Network, blob: int) -> tuple[int, ...]:
    return tuple(network.device_blobs[blob].data.shape)


def _checked(bounds: Interval, channels: int, node: Node) -> Interval:
    if len(bounds[0]) not in (1, channels):
        raise RuleError(f"rule box: bounds for {len(bounds[0])} channels, but {node.name!r} reads {channels}")
    return bounds


def _affine(factor: Channels, shift: Channels, bounds: Interval) -> Interval:
    ends = [factor * end + shift for end in bounds]
    return np.minimum(*ends), np.maximum(*ends)


def _power(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    power = node.parameter.power_param  # type: ignore[union-attr]
    if power.power != 1:
        raise RuleError(
            f"rule box: the bounds of the input cannot be carried through {node.name!r} (Power {power.power:g})"
        )
    return _affine(np.array([power.scale]), np.array([power.shift]), below[0])


def _scale(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    if len(node.bottoms) > 1:
        raise RuleError(f"rule box: the bounds of the input cannot be carried through the gate {node.name!r}")
    factor, *shift = _by_channel(network, node, node.parameter.scale_param.axis)  # type: ignore[union-attr]
    return _affine(factor, shift[0] if shift else np.zeros(1), below[0])


def _bias(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    if len(node.bottoms) > 1:
        raise RuleError(f"rule box: the bounds of the input cannot be carried through the sum {node.name!r}")
    (shift,) = _by_channel(network, node, node.parameter.bias_param.axis)  # type: ignore[union-attr]
    return _affine(np.ones(1), shift, below[0])


def _by_channel(network: Network, node: Node, axis: int) -> list[Channels]:
    """Stored numbers of a layer, one for each channel, (C,), or one for all, (1,)."""
    stored = [array.astype(np.float64).ravel() for array in network.parameters(node)]
    channels = _shape(network, node.bottoms[0])[1]
    if any(len(each) != 1 and (axis != 1 or len(each) != channels) for each in stored):
        raise RuleError(f"rule box: {node.name!r} ({node.type}) does not go by channel, so that bounds do not follow")
    return stored


def _batch_norm(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    mean, variance, count = (array.astype(np.float64).ravel() for array in network.parameters(node))
    correction = 1 / count[0] if count[0] else 0.0
    spread = np.sqrt(variance * correction + node.parameter.batch_norm_param.eps)  # type: ignore[union-attr]
    return _affine(1 / spread, -mean * correction / spread, below[0])


def _same(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    return below[0]


def _relu(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    slope = node.parameter.relu_param.negative_slope  # type: ignore[union-attr]
    ends = [np.maximum(end, 0) + slope * np.minimum(end, 0) for end in below[0]]
    return np.minimum(*ends), np.maximum(*ends)


def _pooling(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    low, high = below[0]
    padding = node.parameter.pooling_param  # type: ignore[union-attr]
    if operation(node) == "AVE" and (padding.pad or padding.pad_h or padding.pad_w):  # zeros are averaged in
        return np.minimum(low, 0), np.maximum(high, 0)
    return low, high


def _flatten(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    shape, above = _shape(network, node.bottoms[0]), _shape(network, blob)
    if shape[:2] == above[:2] or len(below[0][0]) == 1:
        return below[0]
    if above[1] != np.prod(shape[1:]):
        raise RuleError(f"rule box: {node.name!r} ({node.type}) mixes channels, so that their bounds do not follow")
    low, high = (np.repeat(end, above[1] // shape[1]) for end in below[0])
    return low, high


def _concat(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    concat = node.parameter.concat_param  # type: ignore[union-attr]
    if concat.axis != 1 or (concat.HasField("concat_dim") and concat.concat_dim != 1):
        return np.minimum.reduce([low for low, _ in below]), np.maximum.reduce([high for _, high in below])
    counts = [_shape(network, bottom)[1] for bottom in node.bottoms]
    ends = [[np.broadcast_to(each[end], count) for each, count in zip(below, counts, strict=True)] for end in (0, 1)]
    return np.concatenate(ends[0]), np.concatenate(ends[1])


def _slice(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    counts = [_shape(network, top)[1] for top in node.tops]
    if len(below[0][0]) == 1 or sum(counts) != _shape(network, node.bottoms[0])[1]:  # along another axis
        return below[0]
    start = sum(counts[: node.tops.index(blob)])
    low, high = (end[start : start + _shape(network, blob)[1]] for end in below[0])
    return low, high


def _eltwise(network: Network, node: Node, blob: int, below: list[Interval]) -> Interval:
    if operation(node) == "MAX":
        return np.maximum.reduce([low for low, _ in below]), np.maximum.reduce([high for _, high in below])
    if operation(node) == "PROD":
        raise RuleError(f"rule box: the bounds of the input cannot be carried through the product {node.name!r}")
    factors = list(node.parameter.eltwise_param.coeff) or [1.0] * len(below)  # type: ignore[union-attr]
    parts = [_affine(np.array([factor]), np.zeros(1), each) for factor, each in zip(factors, below, strict=True)]
    return sum(low for low, _ in parts) + np.zeros(1), sum(high for _, high in parts) + np.zeros(1)


_CARRIED: dict[str, Callable[[Network, Node, int, list[Interval]], Interval]] = {
    "Power": _power,
    "Scale": _scale,
    "Bias": _bias,
    "BatchNorm": _batch_norm,
    "ReLU": _relu,
    "Pooling": _pooling,
    "Concat": _concat,
    "Slice": _slice,
    "Eltwise": _eltwise,
    **dict.fromkeys(("Split", "Dropout", "Crop"), _same),
    **dict.fromkeys(("Flatten", "Reshape"), _flatten),
}
_INPUTS = {"Crop": 1, "Scale": 1, "Bias": 1}  # how many of its bottoms a layer takes values from; all where not named
