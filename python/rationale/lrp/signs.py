"""Which activations cannot be negative: known from the layers alone, it saves rules half of their work."""

from rationale.lrp.layers import CONSTANTS
from rationale.network import Network, Node, kind
from rationale.network.graph import Graph

Signs = tuple[dict[int, frozenset[int]], frozenset[int]]


def nonnegative_sources(network: Network) -> frozenset[int]:
    """The layers (by index) without inputs whose output holds nothing negative, as it stands now.

    Of inputs it was noted what went in: pixels scaled to 0…1 are not negative, mean-subtracted ones are. What a layer
    filled by itself is looked at, but not on a card, which would have to be waited for.
    """
    inputs = set(network.net._inputs)

    def is_nonnegative(blob: int) -> bool:
        if blob in inputs:
            return network.is_nonnegative(blob)
        return not network.views.on_card and bool((network.data(blob) >= 0).all())

    sources = (node for node in network.graph.nodes if _is_source(node))
    return frozenset(node.index for node in sources if all(map(is_nonnegative, node.tops)))


def nonnegative_blobs(graph: Graph, sources: frozenset[int]) -> Signs:
    """For each layer (by index) the inputs that cannot be negative when it runs; and the blobs that end so.

    `sources` are those of `nonnegative_sources`.
    """
    now: set[int] = set()
    before: dict[int, frozenset[int]] = {}
    for node in graph.nodes:
        before[node.index] = frozenset(blob for blob in node.bottoms if blob in now)
        now.difference_update(node.tops)
        if node.index in sources if _is_source(node) else _gives_no_negative(node, before[node.index]):
            now.update(node.tops)
    return before, frozenset(now)


def _is_source(node: Node) -> bool:
    return node.type == "Input" or node.type in CONSTANTS


def _gives_no_negative(node: Node, inputs: frozenset[int]) -> bool:
    known = kind(node.type)
    return known.never_negative(node.parameter) or (known.keeps_sign(node.parameter) and set(node.bottoms) == inputs)
