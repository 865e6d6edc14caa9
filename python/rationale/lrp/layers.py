"""What the pass must know of layer types, beside how relevance moves through them."""

from collections.abc import Sequence

from rationale.errors import RuleError
from rationale.lrp.composites import JOINS, LINEAR
from rationale.network import Node, kind

# These bring other layers' numbers along, but no picture: what they hold is the same for every input.
CONSTANTS = frozenset({"DummyData", "Parameter"})


def moves_zero(node: Node) -> bool:
    """Whether an elementwise layer can turn 0 into something else, so that an input of 0 may hold relevance."""
    return node.parameter is not None and kind(node.type).moves_zero(node.parameter)


def takes_rule(node: Node) -> bool:
    """Whether a user's rule can be meant for the layer: one with weights, a pool, or a sum."""
    if node.type == "Eltwise":
        return operation(node) == "SUM"
    return node.type in (*LINEAR, *JOINS)


def is_along_channels(node: Node) -> bool:
    """Whether a layer with weights reads one blob and puts its outputs on the second axis, as rules expect."""
    if node.parameter is None or len(node.bottoms) != 1:
        return False
    kind = node.parameter.inner_product_param if node.type == "InnerProduct" else node.parameter.convolution_param
    return bool(kind.axis == 1)


def signals(node: Node) -> tuple[int, ...]:
    """The bottoms to which relevance goes: not the second ones that only steer the first.

    A gate (Scale) multiplies the signal, and the signal takes all, as in the LSTM (Arras et al. 2017); of what a Crop
    is cut to, only the size counts.
    """
    return node.bottoms[:1] if node.type in ("Scale", "Crop") else node.bottoms


def operation(node: Node) -> str:
    """What a Pooling or Eltwise layer does with its window or its inputs: MAX, AVE, SUM, PROD …"""
    assert node.parameter is not None
    if node.type == "Pooling":
        pooling = node.parameter.pooling_param
        return str(pooling.PoolMethod.Name(pooling.pool))
    eltwise = node.parameter.eltwise_param
    return str(eltwise.EltwiseOp.Name(eltwise.operation))


def lowest_linear(path: Sequence[Node]) -> set[int]:
    """Indices of the layers with weights that have none below them; `path` goes bottom to top."""
    below: set[int] = set()  # blobs that depend on a layer with weights
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


def unsupported(node: Node) -> RuleError:
    """The error for a layer that has no rule."""
    what = node.type
    if node.type == "Pooling" and node.parameter is not None:
        what = f"Pooling ({operation(node)})"
    if node.type in ("InnerProduct", "Convolution") and len(node.bottoms) == 1:
        what += " along another axis than 1"
    if len(node.bottoms) > 1:
        what += f" with {len(node.bottoms)} inputs"
    return RuleError(
        f"layer {node.name!r}: there is no relevance rule for {what}; explain a layer below it (target_layer), "
        "or replace it in the prototxt"
    )
