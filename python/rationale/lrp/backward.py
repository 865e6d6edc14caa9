"""The relevance pass: from the score of a class, or any other relevance, down to the input, layer by layer."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.composites import Bounds, Composite, get_composite
from rationale.lrp.conditions import Condition, Passage, passage, passing_through
from rationale.lrp.forward import Forward, run_forward
from rationale.lrp.layers import takes_rule
from rationale.lrp.ledger import Ledger, settled
from rationale.lrp.start import Classes, ClassScore, Start, StartAt, Unit, UnitActivation
from rationale.lrp.walk import Facts, Walk
from rationale.lrp.workspace import Workspace
from rationale.network import Network, Node

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Relevance(Mapping[str, Array]):
    """Relevance of a batch at every kept layer, float32 (N, C, H, W), by layer or input name.

    Attributes:
        layers: the same as a plain mapping.
        ledger: every layer's account.
        scores: what was distributed, (N,): f(x) of the targets, less that of the classes they are contrasted with.
        targets: the explained classes, or the channel of the explained unit, (N,); −1 where relevance was given.
        outputs: the output of the layer where it started, (N, classes), or (N, channels · places).
        forward: the forward pass, from which `propagate` can start again.
        conditional: for each condition, the relevance at the inputs that passed through its channels, by input name.
        aliases: other names of kept layers: of those that work in place on them, or were folded into them.
    """

    layers: Mapping[str, Array]
    ledger: Ledger
    scores: Array
    targets: NDArray[np.int64]
    outputs: Array
    forward: Forward
    conditional: Sequence[Mapping[str, Array]] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        layers = [f"{name} {tuple(self.layers[name].shape[1:])}" for name in self.layers]
        shown = layers if len(layers) <= 4 else [layers[0], "…", *layers[-2:]]
        return f"Relevance(of {len(self.targets)}, at {len(layers)} layers: {', '.join(shown)})"

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


@overload
def propagate(
    network: Network,
    batch: Array | Mapping[str, Array] | Forward,
    target: Classes = None,
    *,
    start: StartAt | None = None,
    composite: str | Composite = "epsilon-plus-flat",
    bounds: Bounds | None = None,
    target_layer: str | None = None,
    against: Classes = None,
    unit: Unit | None = None,
    conditions: Sequence[Condition] = (),
    keep: Collection[str] | None = None,
) -> Relevance: ...


@overload
def propagate(
    network: Network,
    batch: Array | Mapping[str, Array] | Forward,
    *,
    start: Sequence[StartAt],
    composite: str | Composite = "epsilon-plus-flat",
    bounds: Bounds | None = None,
    conditions: Sequence[Condition] = (),
    keep: Collection[str] | None = None,
) -> tuple[Relevance, ...]: ...


def propagate(
    network: Network,
    batch: Array | Mapping[str, Array] | Forward,
    target: Classes = None,
    *,
    start: StartAt | Sequence[StartAt] | None = None,
    composite: str | Composite = "epsilon-plus-flat",
    bounds: Bounds | None = None,
    target_layer: str | None = None,
    against: Classes = None,
    unit: Unit | None = None,
    conditions: Sequence[Condition] = (),
    keep: Collection[str] | None = None,
) -> Relevance | tuple[Relevance, ...]:
    """Explains the score of a class for each sample of a batch (Bach et al. 2015).

    Relevance starts as the pre-softmax score f(x) of the target and is redistributed layer by layer; its sum is
    conserved but for what biases and stabilisers absorb, which the ledger lists.

    Args:
        network: the classifier.
        batch: float32 (N, C, H, W), already preprocessed; or one array for each input by name; or an earlier result's
            `forward`, so that the network need not run again.
        target: class to explain, one for all or one for each sample; the highest score where None.
        start: where relevance starts instead: a ClassScore, UnitActivation or RelevanceAt; or several, each explained
            after the one forward pass.
        composite: which rule for which layer.
        bounds: least and greatest value of the preprocessed input, numbers or one for each channel, for z^B.
        target_layer: layer of the class scores; found by itself under a Softmax or where the network has one output.
        against: explain why the target rather than this class: relevance starts as f(x) of the one and −f(x) of the
            other.
        unit: explain the activation of this channel of `target_layer`, or of (channel, y, x), rather than a class.
        conditions: for each, only the relevance that passes through the named channels of the named layers (Achtibat
            et al. 2022); each costs the backward part below its topmost layer.
        keep: names of the layers and inputs whose relevance is returned; all where None.

    Returns:
        A Relevance; a tuple of them where `start` is a sequence.

    Raises:
        NetworkError: the batch does not fit, or a layer does not exist.
        RuleError: an unknown composite, one that does not fit the network, a target, unit, condition or start that does
            not exist or fit, a layer without a rule, or a forward pass that is no longer there.
    """
    rules = get_composite(composite).with_bounds(bounds)
    rules.check_fits({node.name: node.type for node in network.graph.nodes if takes_rule(node)})
    starts = _starts(start, target, against, unit, target_layer)
    plans = [_Plan.of(network, each, conditions, keep) for each in starts]
    space = Workspace.of(network)
    forward = run_forward(space, batch)
    facts = Facts.of(space)
    walked = _walk_all(plans, facts, rules)
    if space.weights_changed():
        walked = _walk_all(plans, facts, rules)
    if not space.kernels.looks:
        network.outputs()  # which refuses NaN and infinity
    found = tuple(plan.settle(each, forward) for plan, each in zip(plans, walked, strict=True))
    return found if isinstance(start, Sequence) else found[0]


def _starts(
    start: StartAt | Sequence[StartAt] | None, target: Classes, against: Classes, unit: Unit | None, layer: str | None
) -> Sequence[StartAt]:
    """What to explain, however it was said."""
    if start is not None:
        if any(each is not None for each in (target, against, unit, layer)):
            raise RuleError("give `start`, or `target`, `against`, `unit` and `target_layer`, not both")
        starts = list(start) if isinstance(start, Sequence) else [start]
        if not starts or not all(isinstance(each, StartAt) for each in starts):
            raise RuleError("`start` is a ClassScore, UnitActivation or RelevanceAt, or several of them")
        return starts
    if unit is None:
        return [ClassScore(target, against, layer)]
    if target is not None or against is not None:
        raise RuleError("explain either a unit or a class: give `unit`, or `target` and `against`")
    return [UnitActivation(unit, layer)]


def _walk_all(plans: Sequence["_Plan"], facts: Facts, rules: Composite) -> list["_Walked"]:
    with facts.space.repeating(len(plans)):
        return [plan.walk_down(facts, rules) for plan in plans]


@dataclass(frozen=True)
class _Plan:
    """One explanation, checked before the network runs: where it starts, what is kept, and its conditions."""

    start: StartAt
    node: Node
    names: Mapping[str, int]
    passages: Sequence[Passage]

    @classmethod
    def of(
        cls, network: Network, start: StartAt, conditions: Sequence[Condition], keep: Collection[str] | None
    ) -> "_Plan":
        node = start.node(network)
        passages = [passage(network, node, condition) for condition in conditions]
        return cls(start, node, _names_to_keep(network, node, keep), passages)

    def walk_down(self, facts: Facts, rules: Composite) -> "_Walked":
        """Walks down after the forward pass; on a card all that is found stays there."""
        space = facts.space
        begun = self.start.begin(space.network, self.node, rules.starts_with)
        walk = Walk(facts, rules, self.names, checkpoints={each.layers[0].name for each in self.passages})
        walk.walk(self.node, begun.seed, by_activation=begun.by_activation)
        return _Walked(walk, begun, [passing_through(walk, each) for each in self.passages])

    def settle(self, walked: "_Walked", forward: Forward) -> Relevance:
        """The result, in the host's memory."""
        space, begun = walked.walk.space, walked.begun
        host = space.views.to_host
        begun.check_contrast(space.views)
        outputs = space.views.copy_to_host(space.data(self.node.tops[0])).reshape(forward.samples, -1)
        kept = {name: host(array) for name, array in walked.walk.kept.items()}
        conditional = [{name: host(array) for name, array in each.items()} for each in walked.conditional]
        ledger = settled(space.kernels, walked.walk.entries, walked.walk.total, forward.samples)
        aliases = _aliases(space.network, kept)
        scores, targets = host(begun.scores), host(begun.targets)
        return Relevance(kept, ledger, scores, targets, outputs, forward, conditional, aliases)


@dataclass(frozen=True)
class _Walked:
    """A walk that is over, what it began with, and what passed through the conditions."""

    walk: Walk
    begun: Start
    conditional: Sequence[Mapping[str, Array]]


def _aliases(network: Network, kept: Collection[str]) -> dict[str, str]:
    """Names of layers whose relevance is that of a kept one: they work in place on it, or were folded into it."""
    graph = network.graph
    holders = {graph.blob(name): name for name in kept}
    in_place = {node.name: holders[node.tops[0]] for node in graph.nodes if node.in_place and node.tops[0] in holders}
    return in_place | {name: target for name, target in graph.aliases.items() if target in kept}


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
