"""Which activations cannot be negative: known from the layers alone, it saves rules half of their work."""

from rationale.lrp.layers import CONSTANTS
from rationale.network import Network, Node

_NEVER_NEGATIVE = frozenset({"Sigmoid", "Softmax", "AbsVal", "BNLL", "Exp"})
_KEEPS_SIGN = frozenset({"Pooling", "Dropout", "Split", "Flatten", "Reshape", "Concat", "Slice", "LRN", "Crop", "Tile"})


Signs = tuple[dict[int, frozenset[int]], frozenset[int]]


def nonnegative_blobs(network: Network) -> Signs:
    """For each layer (by index) the inputs that cannot be negative when it runs; and the blobs that end so.

    An Input is looked at itself: pixels scaled to 0…1 are not negative, mean-subtracted ones are.
    """
    now: set[int] = set()
    before: dict[int, frozenset[int]] = {}
    for node in network.graph.nodes:
        before[node.index] = frozenset(blob for blob in node.bottoms if blob in now)
        now.difference_update(node.tops)
        if _gives_no_negative(network, node, before[node.index]):
            now.update(node.tops)
    return before, frozenset(now)


def _gives_no_negative(network: Network, node: Node, inputs: frozenset[int]) -> bool:
    if node.type == "Input" or node.type in CONSTANTS:
        return all(bool((network.data(blob) >= 0).all()) for blob in node.tops)
    if node.type == "ReLU":
        return node.parameter is not None and bool(node.parameter.relu_param.negative_slope == 0)
    if node.type in _KEEPS_SIGN:
        return set(node.bottoms) == inputs
    if node.type == "Eltwise" and node.parameter is not None:
        positive = all(coefficient >= 0 for coefficient in node.parameter.eltwise_param.coeff)
        return positive and set(node.bottoms) == inputs
    if node.type == "Scale" and len(node.bottoms) > 1 and not node.parameter.scale_param.bias_term:  # type: ignore[union-attr]
        return set(node.bottoms) == inputs
    return node.type in _NEVER_NEGATIVE
