"""How relevance moves through each type of layer: one table; a new type is one entry."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

from rationale.lrp.composites import Composite
from rationale.lrp.embed import propagate_embed
from rationale.lrp.joins import propagate_equally
from rationale.lrp.layers import is_along_channels, moves_zero, operation, unsupported
from rationale.lrp.linear import Known, Passed, propagate_linear
from rationale.lrp.operators import Average, ComputedBias, Operator, Weighted, WeightedSum
from rationale.lrp.pooling import propagate_evenly
from rationale.lrp.rules import Rule, flat
from rationale.lrp.workspace import Workspace
from rationale.network import Node


class Placed(Enum):
    """Where relevance sits below a layer, in the eyes of the layers under it."""

    BY_ACTIVATION = "nothing where the activation is zero"
    AS_ABOVE = "where it did above"
    ZERO_MOVED = "also where the activation is zero, for the layer turned zero into something else"
    ANYWHERE = "whatever the activations are"


@dataclass(frozen=True)
class Visit:
    """A layer that the pass has come to.

    `lowest`: no layer with weights lies below. `blind`: relevance from above was placed whatever the activations are.
    """

    space: Workspace
    node: Node
    rules: Composite
    known: Known
    lowest: bool
    blind: bool


@dataclass(frozen=True)
class Moved:
    """The rule's name as the ledger shows it, what became of the relevance, and where it sits now."""

    rule: str
    passed: Passed
    placed: Placed


Handler = Callable[[Visit], Moved]

_EVENLY = replace(flat(), stabiliser=0.0)


def _by_rule(operator: Operator, rule: Rule, known: Known) -> Moved:
    placed = Placed.BY_ACTIVATION if rule.follows_activation else Placed.ANYWHERE
    return Moved(rule.name, propagate_linear(operator, rule, known), placed)


def _weighted(visit: Visit) -> Moved:
    """A layer with weights: by the composite's rule."""
    node = visit.node
    if not is_along_channels(node):
        raise unsupported(node)
    rule = visit.rules.rule_for(node.name, node.type, visit.lowest)
    if rule is visit.rules.lowest and rule.bounds is not None:  # those of the network's input
        rule = replace(rule, bounds=visit.space.bounds(node, rule.bounds))
    return _by_rule(Weighted(visit.space, node), rule, visit.known)


def _join_rule(visit: Visit) -> Rule:
    """Of an average or a sum: the rule given to it, or evenly under rules that do not look at activations, or ε."""
    given = visit.rules.join_rule_for(visit.node.name, visit.node.type)
    return given or (_EVENLY if visit.blind else visit.rules.default_join)


def _pooling(visit: Visit) -> Moved:
    """An average as a layer with weights; of a maximum the winner takes all, unless a rule hands out evenly."""
    node, kind = visit.node, operation(visit.node)
    if kind == "AVE":
        return _by_rule(Average(visit.space, node), _join_rule(visit), visit.known)
    if kind != "MAX":
        raise unsupported(node)
    given = visit.rules.join_rule_for(node.name, node.type)
    if given is None or given.follows_activation:
        return _route(visit)
    return Moved(given.name, propagate_evenly(visit.space, node), Placed.ANYWHERE)


def _eltwise(visit: Visit) -> Moved:
    """A sum as a layer with weights, a product in equal shares, of a maximum the winner takes all."""
    kind = operation(visit.node)
    if kind == "SUM":
        return _by_rule(WeightedSum(visit.space, visit.node), _join_rule(visit), visit.known)
    if kind == "PROD":
        return Moved("equal shares", propagate_equally(visit.space, visit.node), Placed.AS_ABOVE)
    return _route(visit)


def _embed(visit: Visit) -> Moved:
    rule = visit.rules.default_join
    return Moved(rule.name, propagate_embed(visit.space, visit.node, rule, visit.known), Placed.BY_ACTIVATION)


def _elementwise(visit: Visit) -> Moved:
    """One input value belongs to one output value: it takes all of its relevance, whatever the function is."""
    if len(visit.node.bottoms) != 1:
        raise unsupported(visit.node)
    return _to_first(visit)


def _to_first(visit: Visit) -> Moved:
    """The first input takes all; `layers.signals` says that others get nothing."""
    space, node = visit.space, visit.node
    if not node.in_place:
        space.diff(node.bottoms[0])[...] = space.diff(node.tops[0])
    return _all(visit, Placed.ZERO_MOVED if moves_zero(node) else Placed.AS_ABOVE)


def _bias(visit: Visit) -> Moved:
    """A stored bias shifts its input, which takes all; a computed one is the second summand."""
    if len(visit.node.bottoms) == 1:
        return _to_first(visit)
    rule = visit.rules.default_join
    return _by_rule(ComputedBias(visit.space, visit.node), replace(rule, spread_bias=False), visit.known)


def _route(visit: Visit) -> Moved:
    """Values are copied, or one of several is picked: Caffe's own backward pass leads relevance the same way.

    Where a value was read several times it is added up.
    """
    if not visit.node.in_place:
        visit.space.network.run_backward(visit.node)
    return _all(visit, Placed.AS_ABOVE)


def _constant(visit: Visit) -> Moved:
    """What is the same for every picture keeps its share, as a bias does."""
    space = visit.space
    share = space.kernels.total(space.diff(visit.node.tops[0]))
    nothing = space.kernels.nothing(len(share))
    return Moved("constant", Passed(nothing, share, nothing), Placed.AS_ABOVE)


def _all(visit: Visit, placed: Placed) -> Moved:
    space, kernels = visit.space, visit.space.kernels
    nothing = kernels.nothing(len(space.diff(visit.node.tops[0])))
    on = nothing
    if not visit.node.in_place:
        on = sum((kernels.total(space.diff(blob)) for blob in visit.node.bottoms), nothing)
    return Moved("pass", Passed(on, nothing, nothing), placed)


HANDLERS: dict[str, Handler] = {
    **dict.fromkeys(("Convolution", "Deconvolution", "InnerProduct"), _weighted),
    "Pooling": _pooling,
    "Eltwise": _eltwise,
    "Embed": _embed,
    "Bias": _bias,
    # Scale, Power and BatchNorm bring numbers into another range; a gate only sets the factor, as do LRN's neighbours.
    **dict.fromkeys(("ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "Swish", "Clip", "AbsVal"), _elementwise),
    **dict.fromkeys(("BNLL", "Exp", "Log", "Dropout", "Power", "BatchNorm", "LRN"), _elementwise),
    "Scale": _to_first,
    **dict.fromkeys(("Split", "Flatten", "Reshape", "Concat", "Slice", "Crop", "Tile"), _route),
    **dict.fromkeys(("DummyData", "Parameter"), _constant),
}


def move(visit: Visit) -> Moved:
    """Moves relevance from the tops of a layer to its bottoms.

    Raises:
        RuleError: there is no rule for such a layer.
    """
    handler = HANDLERS.get(visit.node.type)
    if handler is None:
        raise unsupported(visit.node)
    return handler(visit)
