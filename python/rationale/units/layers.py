"""Which layers have units worth knowing, and what they put out as one number for each channel."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OptionError
from rationale.network import Network, Node, kind

Array = NDArray[np.float32]


def unit_layers(network: Network, *, every: bool = False) -> list[str]:
    """Names of the layers whose channels are units, from the input up to the class scores.

    Those with weights, and those that join branches; of a branch that does nothing but go into a Concat only the
    Concat, which holds it, unless `every` one is wanted.
    """
    graph = network.graph
    below = {node.index for head in graph.heads for node in graph.below(head.score)}
    found = []
    for node in graph.nodes:
        if node.index not in below or node.parameter is None or not node.tops or node.in_place:
            continue
        learns = kind(node.type).convolves or node.type == "InnerProduct"
        if (learns or kind(node.type).joins) and (every or not _goes_into_a_concat(network, node)):
            found.append(node.name)
    return found


def layers_of(network: Network, names: str | Sequence[str] | None) -> list[str]:
    """The layers that are asked for: names, "all", or those of `unit_layers` where None.

    Raises:
        OptionError: a layer is unknown, the input itself, or named twice.
    """
    if names is None:
        return unit_layers(network)
    wanted = [each.strip() for each in names.split(",") if each.strip()] if isinstance(names, str) else list(names)
    if wanted == ["all"]:
        return unit_layers(network, every=True)
    if not wanted:
        raise OptionError("no layer is named")
    found = [check_layer(network, name).name for name in wanted]
    if len(set(found)) < len(found):
        raise OptionError(f"a layer is named twice in {', '.join(wanted)}")
    return found


def check_layer(network: Network, name: str) -> Node:
    """The layer of that name; where it works in place, the layer on whose output it does.

    Raises:
        OptionError: it is unknown, or has no units.
    """
    offered = unit_layers(network, every=True)
    if name not in network.graph.layer_names and name not in network.graph.aliases:
        raise OptionError(f"{network.name}: no layer is named {name!r}; those with units are {', '.join(offered)}")
    node = network.graph.node(name)
    if node.type == "Input" or len(node.tops) != 1:
        raise OptionError(f"layer {name!r} has no units; those that have are {', '.join(offered)}")
    return next(each for each in network.graph.nodes if node.tops[0] in each.tops)


def check_unit(network: Network, layer: str, unit: int) -> Node:
    """The layer, after making sure that it has such a channel.

    Raises:
        OptionError: the layer or the unit is unknown.
    """
    node = check_layer(network, layer)
    count = maps_of(network.data(node.tops[0])).shape[1]
    if not 0 <= unit < count:
        raise OptionError(f"layer {layer!r} has no unit {unit}; it has 0 to {count - 1}")
    return node


def maps_of(activation: Array) -> Array:
    """A layer's output as (N, C, H, W), without a copy; what has no places has 1 × 1."""
    if activation.ndim == 4:
        return activation
    return activation.reshape(len(activation), -1, 1, 1)


def strongest(maps: Array) -> tuple[Array, NDArray[np.int32]]:
    """The greatest value of each map (N, C, H, W) and its place as a flat index, both (N, C)."""
    flat = maps.reshape(*maps.shape[:2], -1)
    places = flat.argmax(axis=-1)
    values = np.take_along_axis(flat, places[..., None], axis=-1)[..., 0]
    return values, places.astype(np.int32)


def source_of(network: Network, layer: str, unit: int) -> tuple[str, int]:
    """The unit under joins and ReLUs, of the same value where that is positive, with a gradient where it is not."""
    node = network.graph.node(layer)
    while True:
        if node.type == "Concat" and node.bottoms and maps_of(network.data(node.tops[0])).shape[1] > 0:
            sizes = [network.data(blob).shape[1] for blob in node.bottoms]
            if sum(sizes) != network.data(node.tops[0]).shape[1]:
                return node.name, unit
            place = int(np.searchsorted(np.cumsum(sizes), unit, side="right"))
            unit -= sum(sizes[:place])
            blob = node.bottoms[place]
        elif node.type in ("ReLU", "Split", "Dropout") and not node.in_place:
            blob = node.bottoms[0]
        else:
            return node.name, unit
        below = next(each for each in network.graph.nodes if blob in each.tops)
        if below.type == "Input" or (len(below.tops) > 1 and below.type != "Split"):
            return node.name, unit
        node = below


def _goes_into_a_concat(network: Network, node: Node) -> bool:
    """Whether all that reads a layer, past what works value by value, is one Concat."""
    if node.type == "Concat":
        return False
    waiting, joins = [node], set()
    while waiting:
        each = waiting.pop()
        readers = [
            reader
            for blob in each.tops
            for reader in network.graph.readers(blob)
            if reader.index > each.index and not reader.in_place
        ]
        if not readers:
            return False
        for reader in readers:
            if reader.type == "Concat":
                joins.add(reader.index)
            elif kind(reader.type).elementwise or reader.type == "Split":
                waiting.append(reader)
            else:
                return False
    return len(joins) == 1
