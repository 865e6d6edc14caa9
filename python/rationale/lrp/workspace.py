"""What passes through one network keep between them: changed weights, scratch memory, outputs that never change."""

import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rationale.lrp.kernels import Kernels
from rationale.lrp.memory import overwritten_blobs
from rationale.lrp.rules import WEIGHTS
from rationale.lrp.signs import Signs, nonnegative_blobs, nonnegative_sources
from rationale.network import Network, Node
from rationale.network.network import Blob, make_blob

Array = NDArray[np.float32]

# Of each layer so many changed arrays are kept, and so many outputs: what any two rules want, and no more, so that a
# sweep over γ or over picture sizes does not fill the memory.
KEPT = 4

_NAME = "relevance workspace"

Key = TypeVar("Key")
Value = TypeVar("Value")


class Workspace:
    """Changed weights and scratch memory of one network.

    `kernels` does all arithmetic, with the array module that the network's memory wants; `overwritten` are the blobs
    that no longer hold what their layer put out.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.kernels = Kernels(np)
        self._weights: dict[tuple[int, int], OrderedDict[tuple[str, float], Blob]] = {}
        self._outputs: dict[int, OrderedDict[tuple[object, ...], Array]] = {}
        self._fingerprints: dict[int, tuple[int, ...]] = {}  # of the layers' own weights, by layer
        self._scratch: dict[str, Any] = {}
        self._signs: dict[frozenset[int], Signs] = {}
        self.overwritten = overwritten_blobs(network.graph)

    @classmethod
    def of(cls, network: Network) -> "Workspace":
        """The network's workspace, made at its first pass; what was computed from weights that changed is dropped."""
        space = network.derived.get(_NAME)
        if space is None:
            # A proxy: the network owns the workspace, and memory must go when the network goes.
            space = network.derived[_NAME] = cls(weakref.proxy(network))
        assert isinstance(space, cls)
        space._forget_changed()
        return space

    def signs(self) -> Signs:
        """Which activations of the last forward pass cannot be negative: see `nonnegative_blobs`."""
        sources = nonnegative_sources(self.network)
        if sources not in self._signs:
            self._signs[sources] = nonnegative_blobs(self.network.graph, sources)
        return self._signs[sources]

    def weights(self, node: Node, weights: str, bias: str, gamma: float) -> list[Blob | None]:
        """The layer's weights and bias changed as WEIGHTS says; None for what stays as it is."""
        return [
            self._changed(node, position, name, gamma)
            for position, name in zip(range(len(self.network.parameters(node))), (weights, bias), strict=False)
        ]

    def output(self, node: Node, key: tuple[object, ...], make: Callable[[], Array]) -> Array:
        """What `make` returned for this layer and key, kept while its weights stay as they are."""
        self._note(node)
        kept = self._outputs.setdefault(node.index, OrderedDict())
        if key not in kept:
            kept[key] = make()
        return _use(kept, key)

    def scratch(self, purpose: str, shape: tuple[int, ...]) -> Blob:
        """A blob for temporary numbers; one memory for each purpose, as large as the largest layer."""
        blob: Blob = self._scratch.setdefault(purpose, make_blob((1,)))
        blob.reshape(*shape)
        return blob

    def _changed(self, node: Node, position: int, name: str, gamma: float) -> Blob | None:
        if name == "w":
            return None
        self._note(node)
        kept = self._weights.setdefault((node.index, position), OrderedDict())
        key = (name, gamma if "γ" in name else 0.0)
        if key not in kept:
            own = self.network.parameters(node)[position]
            blob = make_blob(own.shape)
            blob.data[...] = WEIGHTS[name](own, gamma)
            kept[key] = blob
        return _use(kept, key)

    def _note(self, node: Node) -> None:
        if node.index not in self._fingerprints:
            self._fingerprints[node.index] = self._fingerprint(node)

    def _fingerprint(self, node: Node) -> tuple[int, ...]:
        return tuple(self.kernels.fingerprint(array) for array in self.network.parameters(node))

    def _forget_changed(self) -> None:
        nodes = self.network.graph.nodes
        for index, known in list(self._fingerprints.items()):
            if self._fingerprint(nodes[index]) != known:
                del self._fingerprints[index]
                self._outputs.pop(index, None)
                for key in [key for key in self._weights if key[0] == index]:
                    del self._weights[key]


def _use(kept: OrderedDict[Key, Value], key: Key) -> Value:
    """The value of a key, which becomes the latest; the oldest goes where there are more than KEPT."""
    kept.move_to_end(key)
    while len(kept) > KEPT:
        kept.popitem(last=False)
    return kept[key]
