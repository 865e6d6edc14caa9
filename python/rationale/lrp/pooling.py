"""Relevance through average pooling: in proportion to what each input contributed to the average."""

import numpy as np

from rationale.lrp import kernels
from rationale.lrp.linear import Passed, Workspace
from rationale.network import Node


def propagate_average(space: Workspace, node: Node, stabiliser: float) -> Passed:
    """R_i = x_i Σ_j (1/n_j) R_j / (z_j + ε·sign(z_j)), z_j being the average: the ε-rule with the pool as weights.

    αβ would multiply relevance by α here, for non-negative inputs have no lowering contributions.
    """
    net = space.network
    relevance = net.diff(node.tops[0])
    sums = kernels.divide(relevance, net.data(node.tops[0]), None, stabiliser, 1.0, relevance)
    net.run_backward(node)
    passed = kernels.multiply(net.diff(node.bottoms[0]), net.data(node.bottoms[0]))
    return Passed(passed, np.zeros(len(passed)), sums.stabiliser)
