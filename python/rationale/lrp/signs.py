"""Which activations cannot be negative: known from the layers alone, it saves rules half of their work."""

from rationale.lrp.layers import CONSTANTS
from rationale.network import Network, Node, kind

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
    known = kind(node.type)
    return known.never_negative(node.parameter) or (known.keeps_sign(node.parameter) and set(node.bottoms) == inputs)
