"""Relevance through products of several inputs."""

from rationale.lrp.linear import Passed
from rationale.lrp.workspace import Workspace
from rationale.network import Node


def propagate_equally(space: Workspace, node: Node) -> Passed:
    """R_k = R / n: for products, of which nothing is left without either factor (Achtibat et al. 2024)."""
    kernels = space.kernels
    relevance = space.diff(node.tops[0])
    passed = kernels.nothing(len(relevance))
    for blob in node.bottoms:
        kernels.times(relevance, 1 / len(node.bottoms), space.diff(blob))
        passed += kernels.total(space.diff(blob))
    nothing = kernels.nothing(len(relevance))
    return Passed(passed, nothing, nothing)
