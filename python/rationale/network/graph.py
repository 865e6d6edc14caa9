"""The layers of a running network in order, with the blobs that join them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rationale.errors import NetworkError
from rationale.network.prototxt import LayerParameter


@dataclass(frozen=True)
class Node:
    """One layer as Caffe runs it, among them the Split layers that Caffe inserts where a blob is read twice.

    `bottoms` and `tops` are indices of blobs. A layer that works in place has the same blob in both.
    """

    index: int
    name: str
    type: str
    bottoms: tuple[int, ...]
    tops: tuple[int, ...]
    parameter: LayerParameter | None

    @property
    def in_place(self) -> bool:
        """Whether the layer overwrites its input."""
        return bool(self.tops) and self.tops == self.bottoms


@dataclass(frozen=True)
class Graph:
    """All layers of a network, bottom to top, and the names of its blobs.

    `aliases` lead from layers that were folded into another to that layer.
    """

    nodes: tuple[Node, ...]
    blob_names: tuple[str, ...]
    aliases: dict[str, str] = field(default_factory=dict)

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def node(self, name: str) -> Node:
        """The layer of that name.

        Raises:
            NetworkError: no such layer.
        """
        name = self.aliases.get(name, name)
        if name not in self._by_name:
            raise NetworkError(f"no layer is named {name!r}; there are {', '.join(self.layer_names)}")
        return self._by_name[name]

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers that the definition itself holds (no Splits)."""
        return [node.name for node in self.nodes if node.parameter is not None]

    def blob(self, name: str) -> int:
        """Index of the output blob of the layer `name`, or else of the blob `name`.

        Raises:
            NetworkError: neither exists.
        """
        name = self.aliases.get(name, name)
        if name in self._by_name and self._by_name[name].tops:
            return self._by_name[name].tops[0]
        if name in self.blob_names:
            return len(self.blob_names) - 1 - self.blob_names[::-1].index(name)
        raise NetworkError(f"no layer or blob is named {name!r}; the layers are {', '.join(self.layer_names)}")

    def maker(self, blob: int, before: int | None = None) -> Node | None:
        """The last layer that writes the blob (before layer number `before`)."""
        earlier = self.nodes if before is None else self.nodes[:before]
        return next((node for node in reversed(earlier) if blob in node.tops), None)

    def readers(self, blob: int) -> list[Node]:
        """The layers that read the blob."""
        return [node for node in self.nodes if blob in node.bottoms]

    def below(self, start: Node) -> list[Node]:
        """The layers whose output reaches `start`, with itself, bottom to top."""
        found = {start.index}
        waiting = [start]
        while waiting:
            node = waiting.pop()
            for blob in node.bottoms:
                maker = self.maker(blob, before=node.index)
                if maker is not None and maker.index not in found:
                    found.add(maker.index)
                    waiting.append(maker)
        return [self.nodes[index] for index in sorted(found)]

    def score_node(self, name: str | None = None) -> Node:
        """The layer whose output is the class scores: the one named, or under the topmost Softmax, or the topmost.

        Raises:
            NetworkError: no layer has that name, or the network ends in several outputs, so that the user must choose.
        """
        if name:
            return self.node(name)
        read = {blob for node in self.nodes for blob in node.bottoms if not node.in_place}
        ends = [node for node in self.nodes if node.tops and not set(node.tops) & read and node.type != "Input"]
        ends = [node for node in ends if not any(_replaces(later, node) for later in ends)]
        softmax = [node for node in ends if node.type == "Softmax"]
        candidates = softmax or ends
        if len(candidates) != 1:
            names = ", ".join(node.name for node in candidates) or "none"
            raise NetworkError(f"which layer holds the class scores? outputs: {names}; name the target layer")
        top = candidates[0]
        while top.type in ("Softmax", "Split"):
            maker = self.maker(top.bottoms[0], before=top.index)
            if maker is None:
                raise NetworkError(f"the network has no score layer under {top.name!r}")
            top = maker
        return top


def _replaces(later: Node, node: Node) -> bool:
    return later.in_place and later.tops == node.tops and later.index > node.index


def read_graph(net: Any, layers: Sequence[LayerParameter]) -> Graph:
    """The graph of a running `caffe.Net` that was built from `layers`."""
    parameters = {layer.name: layer for layer in layers}
    nodes = tuple(
        Node(
            index=index,
            name=name,
            type=net.layers[index].type,
            bottoms=tuple(net._bottom_ids(index)),
            tops=tuple(net._top_ids(index)),
            parameter=parameters.get(name),
        )
        for index, name in enumerate(net._layer_names)
    )
    return Graph(nodes, tuple(net._blob_names))
