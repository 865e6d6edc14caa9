"""Which blobs no longer hold what their layer put out, because a later layer works in place on the same memory."""

from collections import defaultdict

from rationale.network import Node
from rationale.network.graph import Graph


def overwritten_blobs(graph: Graph) -> frozenset[int]:
    """Blobs that a layer works in place on, and those that share their memory.

    Caffe's Split, Flatten and Reshape hand the memory itself on, as do a Concat of one input and a Slice into one.
    """
    beside: dict[int, set[int]] = defaultdict(set)
    for node in graph.nodes:
        if _shares_memory(node):
            for top in node.tops:
                beside[top].add(node.bottoms[0])
                beside[node.bottoms[0]].add(top)
    waiting = [node.tops[0] for node in graph.nodes if node.in_place]
    found = set(waiting)
    while waiting:
        more = beside[waiting.pop()] - found
        found |= more
        waiting += more
    return frozenset(found)


def _shares_memory(node: Node) -> bool:
    alone = node.type in ("Concat", "Slice") and len(node.bottoms) == len(node.tops) == 1
    return node.type in ("Split", "Flatten", "Reshape") or alone
