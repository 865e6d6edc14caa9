"""Which layers pass relevance on without a rule, and why; a new layer type is one entry in a table here."""

from rationale.errors import RuleError
from rationale.network import Network, Node

# One input value belongs to one output value: it takes all of its relevance, whatever the function is. This covers
# activations, Scale or Power layers that bring pixels into the range that a network was trained on, BatchNorm that no
# layer before could absorb, and LRN, whose neighbours only set the factor by which a value is multiplied.
ELEMENTWISE = frozenset(
    {"ReLU", "PReLU", "ELU", "Sigmoid", "TanH", "Swish", "Clip", "AbsVal", "BNLL", "Exp", "Log", "Dropout"}
    | {"Power", "Scale", "Bias", "BatchNorm", "LRN"}
)

# These copy values or pick one of them; Caffe's own backward pass leads relevance the same way, and adds it up where
# a value was read several times.
ROUTING = frozenset({"Split", "Flatten", "Reshape", "Concat", "Slice"})


def passes_on(node: Node) -> bool:
    """Whether relevance goes through the layer unchanged in sum, without a rule."""
    if node.type in ELEMENTWISE:
        return len(node.bottoms) == 1
    return node.type in ROUTING or _operation(node) in ("MAX pooling", "MAX of several")


def moves_zero(node: Node) -> bool:
    """Whether an elementwise layer can turn 0 into something else, so that an input of 0 may hold relevance."""
    if node.type not in ELEMENTWISE or node.parameter is None:
        return False
    power, clip = node.parameter.power_param, node.parameter.clip_param
    return (
        node.type in ("BatchNorm", "Bias", "Sigmoid", "BNLL", "Exp", "Log")
        or (node.type == "Scale" and node.parameter.scale_param.bias_term)
        or (node.type == "Power" and (power.shift != 0 or power.power == 0))
        or (node.type == "Clip" and not clip.min <= 0 <= clip.max)
    )


def is_along_channels(node: Node) -> bool:
    """Whether a layer with weights reads one blob and puts its outputs on the second axis, as rules expect."""
    if node.parameter is None or len(node.bottoms) != 1:
        return False
    kind = node.parameter.inner_product_param if node.type == "InnerProduct" else node.parameter.convolution_param
    return bool(kind.axis == 1)


def is_average_pooling(node: Node) -> bool:
    """Whether the layer is linear without weights of its own."""
    return _operation(node) == "AVE pooling"


def is_sum(node: Node) -> bool:
    """Whether the layer adds its inputs, with coefficients."""
    return _operation(node) == "SUM of several"


def is_product(node: Node) -> bool:
    """Whether the layer multiplies its inputs."""
    return _operation(node) == "PROD of several"


def pass_on(net: Network, node: Node) -> None:
    """Moves relevance from the tops of a layer for which `passes_on` holds to its bottoms."""
    if node.in_place:
        return
    if node.type in ELEMENTWISE:
        net.diff(node.bottoms[0])[...] = net.diff(node.tops[0])
    else:
        net.run_backward(node)  # max: the winner of each window, or of several inputs, takes all


def unsupported(node: Node) -> RuleError:
    """The error for a layer that has no rule."""
    what = f"{node.type} ({_operation(node)})" if node.type == "Pooling" else node.type
    if node.type in ("InnerProduct", "Convolution") and len(node.bottoms) == 1:
        what += " along another axis than 1"
    if len(node.bottoms) > 1:
        what += f" with {len(node.bottoms)} inputs"
    return RuleError(
        f"layer {node.name!r}: there is no relevance rule for {what}; explain a layer below it (target_layer), "
        "or replace it in the prototxt"
    )


def _operation(node: Node) -> str | None:
    """What a Pooling or Eltwise layer does with its window or its inputs."""
    if node.parameter is None or node.type not in ("Pooling", "Eltwise"):
        return None
    if node.type == "Pooling":
        parameter = node.parameter.pooling_param
        return f"{parameter.PoolMethod.Name(parameter.pool)} pooling"
    parameter = node.parameter.eltwise_param
    return f"{parameter.EltwiseOp.Name(parameter.operation)} of several"
