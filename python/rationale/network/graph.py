"""The layers of a running network in order, with the blobs that join them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from rationale.errors import NetworkError
from rationale.network.head import Head, find_heads, the_head
from rationale.network.kinds import kind
from rationale.network.prototxt import LayerParameter


@dataclass(frozen=True)
class Node:
    """One layer as Caffe runs it, among them the Split layers that Caffe inserts where a blob is read twice.

    `bottoms` and `tops` are indices of blobs. A layer that works in place has the same blob in both. `shape` is that of
    its first output for a batch of one; `rises` says that each value of it grows with the value below, or never falls.
    """

    index: int
    name: str
    type: str
    bottoms: tuple[int, ...]
    tops: tuple[int, ...]
    parameter: LayerParameter | None
    shape: tuple[int, ...] = ()
    rises: bool = False

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
    _below: dict[int, tuple[Node, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)
    _unread: dict[int, tuple[int, ...]] = field(default_factory=dict, init=False, repr=False, compare=False)

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

    def below(self, start: Node) -> tuple[Node, ...]:
        """The layers whose output reaches `start`, with itself, bottom to top."""
        if start.index not in self._below:
            self._below[start.index] = self._find_below(start)
        return self._below[start.index]

    def unread_below(self, start: Node) -> tuple[int, ...]:
        """Blobs that the layers of `below` put out and none of them reads: no pass down from `start` fills them."""
        if start.index not in self._unread:
            path = self.below(start)
            read = {blob for node in path for blob in node.bottoms}
            self._unread[start.index] = tuple(blob for node in path for blob in node.tops if blob not in read)
        return self._unread[start.index]

    def _find_below(self, start: Node) -> tuple[Node, ...]:
        found = {start.index}
        waiting = [start]
        while waiting:
            node = waiting.pop()
            for blob in node.bottoms:
                maker = self.maker(blob, before=node.index)
                if maker is not None and maker.index not in found:
                    found.add(maker.index)
                    waiting.append(maker)
        return tuple(self.nodes[index] for index in sorted(found))

    @cached_property
    def heads(self) -> tuple[Head, ...]:
        """The outputs of the network, each with the layer of its scores."""
        return find_heads(self)

    def head(self, name: str | None = None) -> Head | None:
        """The output to which a layer belongs, at its scores, above or right under; the network's own where None.

        Raises:
            NetworkError: no layer has that name, or the network ends in several outputs, so that the user must choose.
        """
        if name is None:
            return the_head(self.heads)
        node = self.node(name)
        return next((head for head in self.heads if node in (head.score, *head.above, *head.under)), None)

    def score_node(self, name: str | None = None) -> Node:
        """The layer whose output is the class scores, under what only squashes them: that of the network's output.

        With a name, the layer of that name, or that of the scores under it where it is itself what squashes them.

        Raises:
            NetworkError: no layer has that name, or the network ends in several outputs, so that the user must choose.
        """
        head = self.head(name)
        if name is None or (head is not None and self.node(name) in head.above):
            assert head is not None  # or `head` would have raised
            return head.score
        return self.node(name)

    def input_blob(self, name: str) -> int:
        """Index of the blob that an Input layer makes under that name.

        Raises:
            NetworkError: none does.
        """
        for node in self.nodes:
            for blob in node.tops:
                if node.type == "Input" and self.blob_names[blob] == name:
                    return blob
        raise NetworkError(f"no input is named {name!r}")


def read_graph(net: Any, layers: Sequence[LayerParameter], constants: Mapping[str, str] | None = None) -> Graph:
    """The graph of a running `caffe.Net` that was built from `layers`, or from some of them in that order.

    `constants` are the types under which inputs that are no pictures are shown, by blob.

    A layer that bears the name of an input, without making it, gets another name, for names tell what is meant.
    """
    blob_names = tuple(net._blob_names)
    inputs = {blob_names[blob] for blob in net._inputs}
    taken = inputs | set(net._layer_names)
    nodes = []
    for index, (name, layer) in enumerate(zip(net._layer_names, _in_order(net, layers), strict=True)):
        type_, tops = net.layers[index].type, tuple(net._top_ids(index))
        rises = kind(type_).rises
        weights = [blob.data for blob in net.layers[index].blobs]
        nodes.append(
            Node(
                index=index,
                name=free_name(name, taken) if name in inputs and type_ != "Input" else name,
                type=(constants or {}).get(blob_names[tops[0]], type_) if type_ == "Input" else type_,
                bottoms=tuple(net._bottom_ids(index)),
                tops=tops,
                parameter=layer,
                shape=tuple(net._blobs[tops[0]].shape) if tops else (),
                rises=rises is not None and layer is not None and rises(layer, weights),
            )
        )
    return Graph(tuple(nodes), blob_names)


def _in_order(net: Any, layers: Sequence[LayerParameter]) -> list[LayerParameter | None]:
    """The definition of each layer of a net; None for the Splits that Caffe puts in by itself."""
    found: list[LayerParameter | None] = []
    start = 0
    for index, name in enumerate(net._layer_names):
        own = (name, net.layers[index].type)
        at = next((at for at in range(start, len(layers)) if (layers[at].name, layers[at].type) == own), None)
        found.append(None if at is None else layers[at])
        start = start if at is None else at + 1
    return found


def free_name(wish: str, taken: set[str]) -> str:
    """The name, with a number where it is taken; it is taken then."""
    name, number = wish, 2
    while name in taken:
        name, number = f"{wish}#{number}", number + 1
    taken.add(name)
    return name
