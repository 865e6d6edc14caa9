"""The relevance pass: from the score of a class down to the input, layer by layer."""

import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.composites import LINEAR, Bounds, Composite, get_composite
from rationale.lrp.embed import propagate_embed
from rationale.lrp.joins import propagate_equally, propagate_sum
from rationale.lrp.kernels import total
from rationale.lrp.layers import (
    is_along_channels,
    is_average_pooling,
    is_product,
    is_sum,
    moves_zero,
    pass_on,
    passes_on,
    unsupported,
)
from rationale.lrp.ledger import Amounts, Entry, Ledger
from rationale.lrp.linear import Known, Passed, Workspace, propagate_linear
from rationale.lrp.memory import overwritten_blobs
from rationale.lrp.pooling import propagate_average, propagate_average_evenly
from rationale.lrp.rules import STABILISER
from rationale.lrp.signs import Signs, nonnegative_blobs
from rationale.lrp.start import Classes, Unit, class_start, unit_start
from rationale.network import Network, Node

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Relevance(Mapping[str, Array]):
    """Relevance of a batch at every kept layer, float32 (N, C, H, W), by layer or input name.

    Attributes:
        layers: the same as a plain mapping.
        ledger: every layer's account.
        scores: what was distributed, (N,): f(x) of the targets, less that of the classes they are contrasted with.
        targets: the explained classes, or the channel of the explained unit, (N,).
        outputs: the target layer's output, (N, classes), or (N, channels · places).
        conditional: for each condition, the relevance at the inputs that passed through its channels, by input name.
        aliases: other names of kept layers: of those that work in place on them, or were folded into them.
    """

    layers: Mapping[str, Array]
    ledger: Ledger
    scores: Array
    targets: NDArray[np.int64]
    outputs: Array
    conditional: Sequence[Mapping[str, Array]] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Array:
        name = name if name in self.layers else self.aliases.get(name, name)
        if name not in self.layers:
            raise KeyError(f"no relevance was kept at {name!r}; there is {', '.join(self.layers)}")
        return self.layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def channels(self, name: str) -> Array:
        """Relevance of each channel of a layer, signed, (N, C)."""
        array = self[name]
        return np.asarray(array.reshape(*array.shape[:2], -1).sum(axis=-1))


Condition = Mapping[str, int | Collection[int]]  # channels by layer name


def propagate(
    network: Network,
    batch: Array | Mapping[str, Array],
    target: Classes = None,
    *,
    composite: str | Composite = "epsilon-plus-flat",
    bounds: Bounds | None = None,
    target_layer: str | None = None,
    against: Classes = None,
    unit: Unit | None = None,
    conditions: Sequence[Condition] = (),
    keep: Collection[str] | None = None,
) -> Relevance:
    """Explains the score of a class for each sample of a batch (Bach et al. 2015).

    Relevance starts as the pre-softmax score f(x) of the target and is redistributed layer by layer; its sum is
    conserved but for what biases and stabilisers absorb, which the ledger lists.

    Args:
        network: the classifier.
        batch: float32 (N, C, H, W), already preprocessed; or one array for each input by name.
        target: class to explain, one for all or one for each sample; the highest score where None.
        composite: which rule for which layer.
        bounds: least and greatest value of the preprocessed input, numbers or one for each channel, for z^B.
        target_layer: layer of the class scores; found by itself under a Softmax or where the network has one output.
        against: explain why the target rather than this class: relevance starts as f(x) of the one and −f(x) of the
            other.
        unit: explain the activation of this channel of `target_layer`, or of (channel, y, x), rather than a class.
        conditions: for each, only the relevance that passes through the named channels of the named layers (Achtibat
            et al. 2022); each costs the backward part below its topmost layer.
        keep: names of the layers and inputs whose relevance is returned; all where None.

    Raises:
        NetworkError: the batch does not fit, or a layer does not exist.
        RuleError: an unknown composite, one that does not fit the network, a target, unit or condition that does not
            exist, or a layer without a rule.
    """
    rules = get_composite(composite).with_bounds(bounds)
    rules.check_fits({node.name: node.type for node in network.graph.nodes if node.type in LINEAR})
    node = network.graph.score_node(target_layer)
    names = _names_to_keep(network, node, keep)
    wanted = [_check_condition(network, node, condition) for condition in conditions]
    if unit is not None and (target is not None or against is not None):
        raise RuleError("explain either a unit or a class: give `unit`, or `target` and `against`")
    network.forward(batch)
    if unit is None:
        start = class_start(network, node, target, against, value=rules.starts_with)
    else:
        start = unit_start(network, node, unit, value=rules.starts_with)
    outputs = network.data(node.tops[0]).reshape(len(start.targets), -1).copy()
    walker = _Pass(network, rules, names, {node.name for node, _ in wanted})
    walker.walk(node, start.seed)
    ledger = Ledger(walker.entries, total(start.seed))
    conditional = [_conditional(walker, node, masks) for node, masks in wanted]
    aliases = _aliases(network, walker.kept)
    return Relevance(walker.kept, ledger, start.scores, start.targets, outputs, conditional, aliases)


def _aliases(network: Network, kept: Collection[str]) -> dict[str, str]:
    """Names of layers whose relevance is that of a kept one: they work in place on it, or were folded into it."""
    graph = network.graph
    holders = {graph.blob(name): name for name in kept}
    in_place = {node.name: holders[node.tops[0]] for node in graph.nodes if node.in_place and node.tops[0] in holders}
    return in_place | {name: target for name, target in graph.aliases.items() if target in kept}


def _check_condition(network: Network, start: Node, condition: Condition) -> tuple[Node, dict[str, NDArray[np.int64]]]:
    """The topmost layer of a condition, and its channels by layer.

    Raises:
        RuleError: a layer or channel does not exist, has several outputs, or lies beside another that is named.
    """
    reached = {node.name: node for node in network.graph.below(start) if node.parameter is not None}
    masks = {}
    for name, channels in condition.items():
        name = network.graph.aliases.get(name, name)
        numbers = np.atleast_1d(np.asarray(channels if isinstance(channels, int | np.integer) else list(channels)))
        if name not in reached:
            raise RuleError(f"a condition names {name!r}, which relevance does not reach from {start.name!r}")
        if len(reached[name].tops) > 1:
            raise RuleError(f"a condition names {name!r}, which has several outputs: name a layer that reads one")
        count = network.shape(name)[1]
        if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= count:
            raise RuleError(f"a condition names channels {numbers.tolist()} of {name!r}, which has 0 to {count - 1}")
        masks[name] = numbers
    if not masks:
        raise RuleError("a condition names no layer")
    ordered = sorted((reached[name] for name in masks), key=lambda node: -node.index)
    for upper, lower in pairwise(ordered):
        if lower not in network.graph.below(upper):
            raise RuleError(f"nothing passes through both {upper.name!r} and {lower.name!r}, which lie side by side")
    return ordered[0], {node.name: masks[node.name] for node in ordered}


def _conditional(walker: "_Pass", top: Node, masks: Mapping[str, NDArray[np.int64]]) -> Mapping[str, Array]:
    """Relevance at the inputs of what passes through the masked channels."""
    network = walker.network
    relevance = walker.checkpoints[top.name]
    layers = [network.graph.node(name) for name in masks]
    for upper, lower in pairwise(layers):  # only what arrives there goes on, not what passes by it
        between = _Pass(network, walker.rules, {}, masks=masks, above=walker)
        between.walk(upper, relevance, until=lower)
        relevance = network.diff(lower.tops[0]).copy()
    below = _Pass(network, walker.rules, walker.inputs(), masks=masks, above=walker)
    below.walk(layers[-1], relevance)
    return below.kept


def _names_to_keep(network: Network, start: Node, keep: Collection[str] | None) -> dict[str, int]:
    """Blob index by name, from the score layer down, of every layer and input whose relevance is kept."""
    reached = network.graph.below(start)
    own = [node for node in reversed(reached) if node.parameter is not None and node.tops]
    offered = {node.name: node.tops[0] for node in own if len(node.tops) == 1}
    offered |= {network.graph.blob_names[blob]: blob for node in own if len(node.tops) > 1 for blob in node.tops}
    offered |= {network.graph.blob_names[blob]: blob for node in reached if node.type == "Input" for blob in node.tops}
    if keep is None:  # a layer that works in place holds what the layer under it holds
        in_place = {node.name for node in own if node.in_place}
        return {name: blob for name, blob in offered.items() if name not in in_place}
    keep = {network.graph.aliases.get(name, name) for name in keep}
    unknown = sorted(name for name in keep if name not in offered)
    if unknown:
        raise RuleError(f"relevance does not reach {', '.join(unknown)}; it reaches {', '.join(offered)}")
    return {name: offered[name] for name in offered if name in keep}


class _Pass:
    """A walk from the score layer down to the inputs, after a forward pass."""

    def __init__(
        self,
        network: Network,
        rules: Composite,
        names: Mapping[str, int],
        checkpoints: Collection[str] = (),
        masks: Mapping[str, NDArray[np.int64]] | None = None,
        above: "_Pass | None" = None,
    ) -> None:
        self.network = network
        self.rules = rules
        self.names = names
        self.kept: dict[str, Array] = {}
        self.checkpoints: dict[str, Array] = {}  # relevance at layers from which other walks will start
        self.entries: list[Entry] = []
        self._wanted_checkpoints = checkpoints
        self._masks = masks or {}
        self._space = _workspace(network)
        self._sums: dict[int, Amounts] = {}  # relevance that blobs hold
        # Blobs whose relevance may sit where the activation is zero, those whose relevance no rule has yet brought in
        # line with activations, and those that hold nothing negative: a walk that starts inside another, of the same
        # forward pass, knows them from it.
        self._loose: set[int] = set(above._loose) if above else set()
        self._blind: set[int] = set(above._blind) if above else set()
        self._signs: Signs = above._signs if above else nonnegative_blobs(network)
        self._overwritten = above._overwritten if above else overwritten_blobs(network.graph)

    def walk(self, start: Node, seed: Array, until: Node | None = None) -> None:
        """Walks down from the output of `start`, where relevance is `seed`; to the output of `until`, if given."""
        self._nothing = np.zeros(len(seed))
        self._sums[start.tops[0]] = total(seed)
        with self.network.backward_from(start, seed) as path:
            self._lowest = _lowest_linear(path)
            for node in reversed(path):
                if until is not None and node.index <= until.index:
                    break
                self._mask(node)
                self._keep(node)
                if node.type != "Input":
                    self._visit(node)

    def inputs(self) -> dict[str, int]:
        """Blob index of each input by name."""
        return {self.network.graph.blob_names[blob]: blob for blob in self.network.net._inputs}

    def _mask(self, node: Node) -> None:
        """Lets only the relevance of the masked layers' chosen channels go on."""
        if node.name not in self._masks:
            return
        relevance = self.network.diff(node.tops[0])
        others = np.setdiff1d(np.arange(relevance.shape[1]), self._masks[node.name])
        relevance[:, others] = 0
        self._sums[node.tops[0]] = total(relevance)

    def _keep(self, node: Node) -> None:
        """Copies the relevance of a layer whose name is asked for, before the layer spends it."""
        if node.name in self._wanted_checkpoints:
            self.checkpoints[node.name] = self.network.diff(node.tops[0]).copy()
        several = len(node.tops) > 1 or node.type == "Input"
        wanted = [node.name, *(self.network.graph.blob_names[blob] for blob in node.tops if several)]
        for name in wanted:
            if name in self.names and name not in self.kept:
                self.kept[name] = self.network.diff(self.names[name]).copy()

    def _visit(self, node: Node) -> None:
        """Moves relevance through a layer and writes its account."""
        if any(len(self.network.data(blob)) != len(self._nothing) for blob in node.bottoms):
            raise RuleError(
                f"layer {node.name!r} ({node.type}) takes samples apart or together, so that relevance cannot be told "
                "by sample: explain a layer above it (target_layer), or replace it in the prototxt"
            )
        received = sum((self._sums[blob] for blob in node.tops if blob in self._sums), self._nothing)
        rule, passed = self._move(node)
        if node.in_place:
            return
        for blob in node.bottoms:
            self._sums[blob] = passed.on if len(node.bottoms) == 1 else total(self.network.diff(blob))
        if node.type != "Split":
            self.entries.append(Entry(node.name, node.type, rule, received, passed.on, passed.bias, passed.stabiliser))

    def _move(self, node: Node) -> tuple[str, Passed]:
        """Moves relevance through one layer; returns the rule's name and what became of it."""
        network = self.network
        if node.type in LINEAR and is_along_channels(node):
            rule = self.rules.rule_for(node.name, node.type, node.index in self._lowest)
            known = self._known(node)
            if not rule.follows_activation:
                self._loose.add(node.bottoms[0])
                self._blind.add(node.bottoms[0])
            return rule.name, propagate_linear(self._space, node, rule, known)
        if moves_zero(node) or self._loose & set(node.tops):
            self._loose.update(node.bottoms)
        is_blind = bool(self._blind & set(node.tops))
        if is_blind:
            self._blind.update(node.bottoms)
        if passes_on(node):
            pass_on(network, node)
            on = self._nothing if node.in_place else sum((total(network.diff(b)) for b in node.bottoms), self._nothing)
            return "pass", Passed(on, self._nothing, self._nothing)
        if is_average_pooling(node):
            if is_blind:
                return "flat", propagate_average_evenly(self._space, node)
            return "epsilon", propagate_average(self._space, node, STABILISER, self._known(node))
        if is_product(node) or (is_sum(node) and is_blind):
            return "equal shares", propagate_equally(self._space, node)
        if is_sum(node):
            return "epsilon", propagate_sum(self._space, node, STABILISER, self._known(node))
        if node.type == "Embed":
            return "epsilon", propagate_embed(self._space, node, STABILISER, self._known(node))
        raise unsupported(node)

    def _known(self, node: Node) -> Known:
        (top,) = node.tops
        when_run, finally_ = self._signs
        return Known(
            input_nonnegative=when_run[node.index].issuperset(node.bottoms),
            output_nonnegative=top in finally_,
            output_stored=not (top in self._overwritten and top in self._loose),
        )


def _lowest_linear(path: list[Node]) -> set[int]:
    """Indices of the linear layers with no linear layer below them."""
    below: set[int] = set()  # blobs that depend on a linear layer
    lowest = set()
    for node in path:
        depends = bool(below & set(node.bottoms)) or node.type == "Embed"
        if node.type in LINEAR:
            if not depends:
                lowest.add(node.index)
            depends = True
        if depends:
            below.update(node.tops)
    return lowest


def _workspace(network: Network) -> Workspace:
    """The network's workspace, made at its first pass; weights must not change afterwards."""
    # A proxy: the network owns the workspace, and memory must go when the network goes.
    space = network.derived.setdefault("relevance workspace", Workspace(weakref.proxy(network)))
    assert isinstance(space, Workspace)
    return space
