"""What passes through one network keep between them: changed weights, scratch memory, outputs that never change."""

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rationale.lrp.bounds import Bounds, carried_bounds
from rationale.lrp.card import CardKernels
from rationale.lrp.kernels import Kernels
from rationale.lrp.layers import CONSTANTS
from rationale.lrp.memory import overwritten_blobs
from rationale.lrp.rules import WEIGHTS
from rationale.lrp.signs import Signs, nonnegative_blobs, nonnegative_sources
from rationale.network import Network, Node
from rationale.network.network import Blob

Array = NDArray[np.float32]

# Of each layer so many changed arrays are kept, and so many outputs: what any two rules want, and no more, so that a
# sweep over γ or over picture sizes does not fill the memory.
KEPT = 4

_NAME = "relevance workspace"

MOST_REPEATED = 1 << 26  # numbers of denominators that are kept for the walks of one pass, 256 MB

Key = TypeVar("Key")
Value = TypeVar("Value")


class Workspace:
    """Changed weights and scratch memory of one network, all in the memory that the network works in.

    `kernels` does all arithmetic, on the arrays of that memory; `overwritten` are the blobs that no longer hold what
    their layer put out.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.views = network.views
        self.kernels = CardKernels(self.views) if self.views.on_card else Kernels(self.views.xp)
        self._blobs = network.device_blobs
        self._parameters = network.device_weights
        self._weights: dict[tuple[int, int], OrderedDict[tuple[str, float], Blob]] = {}
        self._outputs: dict[int, OrderedDict[tuple[object, ...], Array]] = {}
        self._fingerprints: dict[int, Any] = {}  # of the layers' own weights, by layer
        self._together: Any = None  # the same as one array of a card
        self._doubt: Any = None  # 1 where the card finds that weights changed
        self._scratch: dict[str, Any] = {}
        self._signs: dict[frozenset[int], Signs] = {}
        self.overwritten = overwritten_blobs(network.graph)
        self._bounds: OrderedDict[tuple[int, Bounds], Bounds] = OrderedDict()
        self._constants: OrderedDict[tuple[object, ...], Array] = OrderedDict()
        self._repeated: dict[object, Array] | None = None

    @classmethod
    def of(cls, network: Network) -> "Workspace":
        """The network's workspace, made at its first pass; what was computed from weights that changed is dropped."""
        space = network.derived.get(_NAME)
        if space is None:
            # A proxy: the network owns the workspace, and memory must go when the network goes.
            space = network.derived[_NAME] = cls(weakref.proxy(network))
        assert isinstance(space, cls)
        space._begin()
        return space

    def signs(self) -> Signs:
        """Which activations of the last forward pass cannot be negative: see `nonnegative_blobs`."""
        sources = nonnegative_sources(self.network)
        if sources not in self._signs:
            self._signs[sources] = nonnegative_blobs(self.network.graph, sources)
        return self._signs[sources]

    def data(self, blob: int) -> Array:
        """A blob's activation, where the network works."""
        return self._blobs[blob].data  # type: ignore[no-any-return]

    def diff(self, blob: int) -> Array:
        """A blob's relevance, where the network works."""
        return self._blobs[blob].diff  # type: ignore[no-any-return]

    def parameters(self, node: Node) -> list[Array]:
        """A layer's weights and bias, where the network works."""
        if not self.views.on_card:
            return self.network.parameters(node)
        return [blob.data for blob in self._parameters[node.index]]

    def weights(self, node: Node, weights: str, bias: str, gamma: float) -> list[Blob | None]:
        """The layer's weights and bias changed as WEIGHTS says; None for what stays as it is."""
        return [
            self._changed(node, position, name, gamma)
            for position, name in zip(range(len(self.parameters(node))), (weights, bias), strict=False)
        ]

    def bounds(self, node: Node, bounds: Bounds) -> Bounds:
        """See `carried_bounds`; on a card, from where numbers would have to be brought, kept as weights are."""
        graph, inputs = self.network.graph, set(self.network.net._inputs)
        if not self.views.on_card or any(
            each.type in CONSTANTS and not inputs.issuperset(each.tops) for each in graph.nodes
        ):
            return carried_bounds(self.network, node, bounds)
        key = (node.index, bounds)
        if key not in self._bounds:
            for each in graph.nodes[: node.index]:
                if self.parameters(each):
                    self._note(each)
            self._bounds[key] = carried_bounds(self.network, node, bounds)
        return _use(self._bounds, key)

    def output(self, node: Node, key: tuple[object, ...], make: Callable[[], Array]) -> Array:
        """What `make` returned for this layer and key, kept while its weights stay as they are."""
        self._note(node)
        kept = self._outputs.setdefault(node.index, OrderedDict())
        if key not in kept:
            kept[key] = make()
        return _use(kept, key)

    def constant(self, values: Array) -> Array:
        """A small array where the network works; what was brought there stays."""
        if not self.views.on_card:
            return values
        key = (values.shape, values.tobytes())
        if key not in self._constants:
            self._constants[key] = self.views.from_host(values)
        return _use(self._constants, key)

    @contextmanager
    def repeating(self, walks: int) -> Iterator[None]:
        """While several walks go down after one forward pass, `repeated` keeps what does not depend on relevance."""
        self._repeated = {} if walks > 1 else None
        try:
            yield
        finally:
            self._repeated = None

    def repeated(self, key: object, make: Callable[[], Array]) -> Array:
        """What `make` returned for this key to another walk of the pass, while memory lasts."""
        known = self._repeated
        if known is None:
            return make()
        if key in known:
            return known[key]
        made = make()
        if sum(each.size for each in known.values()) + made.size <= MOST_REPEATED:
            known[key] = made.copy()
        return made

    def scratch(self, purpose: str, shape: tuple[int, ...]) -> Blob:
        """A blob for temporary numbers; one memory for each purpose, as large as the largest layer."""
        if purpose not in self._scratch:
            self._scratch[purpose] = self.views.make((1,))
        blob: Blob = self._scratch[purpose]
        blob.reshape(*shape)
        return blob

    def _changed(self, node: Node, position: int, name: str, gamma: float) -> Blob | None:
        if name == "w":
            return None
        self._note(node)
        kept = self._weights.setdefault((node.index, position), OrderedDict())
        key = (name, gamma if "γ" in name else 0.0)
        if key not in kept:
            own = self.parameters(node)[position]
            blob = self.views.make(own.shape)
            blob.data[...] = WEIGHTS[name](self.kernels.xp, own, gamma)
            kept[key] = blob
        return _use(kept, key)

    def weights_changed(self) -> bool:
        """Whether a pass that is over used changed weights whose originals are others by now; those are forgotten.

        Where passes may look at numbers, `of` has seen to that before.
        """
        if self._doubt is None or not self.kernels.settle([self._doubt], 1)[0].any():
            return False
        self._forget(list(self._fingerprints))
        return True

    def _begin(self) -> None:
        """A pass begins: forgets what was computed from weights that changed, or has the card look for some."""
        self.kernels.begin()
        nodes, known = self.network.graph.nodes, self._fingerprints
        if not isinstance(self.kernels, CardKernels):
            self._forget([each for each, before in known.items() if self._fingerprint(nodes[each]) != before])
            return
        self._doubt = None
        if known:
            now = self.kernels.fingerprints([array for each in known for array in self.parameters(nodes[each])])
            if self._together is None:
                self._together = self.kernels.xp.concatenate(list(known.values()))
            self._doubt = self.kernels.differ(now, self._together)

    def _note(self, node: Node) -> None:
        if node.index not in self._fingerprints:
            self._fingerprints[node.index] = self._fingerprint(node)
            self._together = None

    def _fingerprint(self, node: Node) -> Any:
        if isinstance(self.kernels, CardKernels):
            return self.kernels.fingerprints(self.parameters(node))
        return tuple(self.kernels.fingerprint(array) for array in self.network.parameters(node))

    def _forget(self, layers: list[int]) -> None:
        if layers:
            self._bounds.clear()
            self._together = None
        for index in layers:
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
