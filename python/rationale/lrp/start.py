"""What relevance a pass begins with: a class's score, or two's difference, a unit's activation, or given relevance."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.network import Network, Node
from rationale.network.views import HOST, Views

Array = NDArray[np.float32]
Classes = int | Sequence[int] | NDArray[np.int64] | None
Unit = int | tuple[int, ...]


@dataclass(frozen=True)
class Start:
    """Relevance at the output of a layer, shaped like it, the classes or channels that it stands for, and their scores.

    Scores are f(x), less that of the classes that the targets are contrasted with (`against`); all (N,). Where the
    network works on a card, they lie there. `by_activation`: the seed is zero where the activation is.
    """

    seed: Array
    targets: NDArray[np.int64]
    scores: Array
    against: NDArray[np.int64] | None = None
    by_activation: bool = False

    def check_contrast(self, views: Views = HOST) -> None:
        """Looks whether classes are contrasted with others.

        Raises:
            RuleError: one is contrasted with itself.
        """
        if self.against is not None and np.any(views.to_host(self.against) == views.to_host(self.targets)):
            raise RuleError("a class cannot be contrasted with itself: `against` must differ from the target")


@runtime_checkable
class StartAt(Protocol):
    """A way to say where relevance starts, before the network has run."""

    def node(self, network: Network) -> Node:
        """The layer at whose output it starts."""
        ...

    def begin(self, network: Network, node: Node, value: str) -> Start:
        """What starts there, after a forward pass; `value` is the composite's "score" or "one"."""
        ...


@dataclass(frozen=True, eq=False)
class ClassScore:
    """The score f(x) of a class; less that of another, where `against` is given.

    Classes are one for all samples or one for each; the highest score where None. The layer of the class scores is
    found by itself under a Softmax, or where the network has one output.
    """

    target: Classes = None
    against: Classes = None
    layer: str | None = None

    def node(self, network: Network) -> Node:
        """See StartAt."""
        return network.graph.score_node(self.layer)

    def begin(self, network: Network, node: Node, value: str) -> Start:
        """See StartAt."""
        return class_start(network, node, self.target, self.against, value=value)


@dataclass(frozen=True, eq=False)
class UnitActivation:
    """The activation of a channel of a layer at all its places, or at (channel, y, x).

    The layer is that of the class scores where None.
    """

    unit: Unit
    layer: str | None = None

    def node(self, network: Network) -> Node:
        """See StartAt."""
        return network.graph.score_node() if self.layer is None else network.graph.node(self.layer)

    def begin(self, network: Network, node: Node, value: str) -> Start:
        """See StartAt."""
        return unit_start(network, node, self.unit, value=value)


@dataclass(frozen=True, eq=False)
class RelevanceAt:
    """Any relevance at the output of a layer, shaped like it: (N, C, H, W), or (1, C, H, W) for all samples.

    A function gets the layer's activation (a copy) and returns relevance.
    """

    layer: str
    relevance: Array | Callable[[Array], Array]

    def node(self, network: Network) -> Node:
        """See StartAt."""
        node = network.graph.node(self.layer)
        if len(node.tops) != 1:
            raise RuleError(f"relevance cannot start at {self.layer!r}, which has {len(node.tops)} outputs")
        return node

    def begin(self, network: Network, node: Node, value: str) -> Start:
        """See StartAt.

        Raises:
            RuleError: the relevance does not have the layer's shape, or holds NaN or infinity.
        """
        activation = network.device_blobs[node.tops[0]].data
        own = self.relevance
        given = np.asarray(own(network.views.copy_to_host(activation)) if callable(own) else own)
        if given.shape not in (activation.shape, (1, *activation.shape[1:])):
            raise RuleError(f"relevance of the shape {given.shape} does not fit {self.layer!r}: {activation.shape}")
        if given.dtype.kind not in "fiu" or not np.isfinite(given).all():
            raise RuleError(f"relevance that starts at {self.layer!r} must be finite numbers")
        seed = np.array(np.broadcast_to(given, activation.shape), np.float32, order="C")
        scores = seed.reshape(len(seed), -1).sum(axis=1)
        return Start(seed, np.full(len(seed), -1, np.int64), scores)


def class_start(
    network: Network,
    node: Node,
    target: Classes,
    against: Classes = None,
    *,
    value: str = "score",
) -> Start:
    """f(x) of the target class at its place; with `against`, −f(x) of that class too, so that it sums to the margin.

    Where `value` is "one", 1 and −1 instead. That both classes differ is left to `Start.check_contrast`.

    Raises:
        RuleError: a class does not exist, or the layer gives several scores a class.
    """
    views = network.views
    xp = views.xp
    outputs = network.device_blobs[node.tops[0]].data
    count = len(outputs)
    scores = outputs.reshape(count, outputs.shape[1] if outputs.ndim > 1 else 1, -1)
    if scores.shape[2] != 1:
        raise RuleError(
            f"layer {node.name!r} gives {scores.shape[2]} scores a class; class scores are one number each: "
            "name another `target_layer`, or a `unit` to explain part of this one"
        )
    _check_not_overwritten(network, node)
    if target is None:
        targets = scores[:, :, 0].argmax(axis=1).astype(np.int64)
    else:
        targets = views.from_host(_check_classes(target, scores.shape, node, "target"))
    seed = xp.zeros(scores.shape[:2], np.float32)
    rows = xp.arange(count)
    values = scores[:, :, 0] if value == "score" else xp.ones(scores.shape[:2], np.float32)
    seed[rows, targets] = values[rows, targets]
    margins = scores[rows, targets, 0]
    others = None
    if against is not None:
        others = views.from_host(_check_classes(against, scores.shape, node, "against"))
        seed[rows, others] = -values[rows, others]
        margins = margins - scores[rows, others, 0]
    return Start(seed.reshape(outputs.shape), targets, margins, others, by_activation=value == "score")


def unit_start(network: Network, node: Node, unit: Unit, *, value: str = "score") -> Start:
    """The activation of one channel at all its places, or at (channel, y, x); its sign where `value` is "one".

    Raises:
        RuleError: the layer has no such unit.
    """
    xp = network.views.xp
    outputs = network.device_blobs[node.tops[0]].data
    place = tuple(np.atleast_1d(np.asarray(unit)).tolist())
    sizes = outputs.shape[1:]
    inside = all(isinstance(at, int) and 0 <= at < size for at, size in zip(place, sizes, strict=False))
    if len(place) not in (1, len(sizes)) or not inside:
        shape = " × ".join(map(str, sizes))
        raise RuleError(f"layer {node.name!r} has no unit {unit}; it has {shape} (channels × height × width)")
    where: tuple[int | slice, ...] = (slice(None), *place)
    seed = xp.zeros_like(outputs)
    seed[where] = outputs[where]
    sums = seed.reshape(len(seed), -1).sum(axis=1)
    if value == "one":
        seed = xp.sign(seed)
    return Start(seed, np.full(len(outputs), place[0], np.int64), sums, by_activation=True)


def _check_not_overwritten(network: Network, node: Node) -> None:
    """A ReLU in place over the scores leaves no negative ones."""
    over = [each for each in network.graph.nodes if each.in_place and each.tops == node.tops and each.type == "ReLU"]
    if over and not node.in_place:
        name = over[0].name
        raise RuleError(f"{name!r} overwrites the scores of {node.name!r} in place: name {name!r} as target_layer")


def _check_classes(
    wanted: int | Sequence[int] | NDArray[np.int64], shape: tuple[int, ...], node: Node, what: str
) -> NDArray[np.int64]:
    count, classes = shape[:2]
    try:
        numbers = np.atleast_1d(np.asarray(wanted))
    except ValueError:  # rows of different lengths
        numbers = np.array([None])
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or len(numbers) not in (1, count):
        raise RuleError(f"{what} must be one class number, or one for each of the {count} samples")
    if numbers.min() < 0 or numbers.max() >= classes:
        raise RuleError(
            f"{what} {numbers.tolist()} is out of range: layer {node.name!r} has classes 0 to {classes - 1}"
        )
    return np.broadcast_to(numbers, count).astype(np.int64)
