"""Which layers pass relevance on without a rule, and why; a new layer type is one entry in a table here."""

from rationale.errors import RuleError
from rationale.network import Network, Node

# One input value belongs to one output value: it takes all of its relevance, whatever the function is. This covers
# activations, and Scale or Power layers that bring pixels into the range that a network was trained on.
ELEMENTWISE = frozenset(
    {"ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "Swish", "Clip", "AbsVal", "BNLL", "Dropout", "Power", "Scale", "Bias"}
)

# These copy values or pick one of them; Caffe's own backward pass leads relevance the same way, and adds it up where
# a value was read several times.
ROUTING = frozenset({"Split", "Flatten", "Reshape", "Concat", "Slice"})


def passes_on(node: Node) -> bool:
    """Whether relevance goes through the layer unchanged in sum, without a rule."""
    if node.type in ELEMENTWISE:
        return len(node.bottoms) == 1
    return node.type in ROUTING or (node.type == "Pooling" and _method(node) == "MAX")


def is_average_pooling(node: Node) -> bool:
    """Whether the layer is linear without weights of its own."""
    return node.type == "Pooling" and _method(node) == "AVE"


def pass_on(net: Network, node: Node) -> None:
    """Moves relevance from the tops of a layer for which `passes_on` holds to its bottoms."""
    if node.in_place:
        return
    if node.type in ELEMENTWISE:
        net.diff(node.bottoms[0])[...] = net.diff(node.tops[0])
    else:
        net.run_backward(node)  # max pooling: the winner of each window takes all


def unsupported(node: Node) -> RuleError:
    """The error for a layer that has no rule."""
    what = f"{node.type} ({_method(node).lower()})" if node.type == "Pooling" else node.type
    if len(node.bottoms) > 1:
        what += f" with {len(node.bottoms)} inputs"
    return RuleError(
        f"layer {node.name!r}: there is no relevance rule for {what}; explain a layer below it (target_layer), "
        "or replace it in the prototxt"
    )


def _method(node: Node) -> str:
    parameter = node.parameter.pooling_param  # type: ignore[union-attr]
    return str(parameter.PoolMethod.Name(parameter.pool))
