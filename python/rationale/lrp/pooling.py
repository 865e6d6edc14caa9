"""Relevance through average pooling: in proportion to what each input contributed to the average."""

import numpy as np

from rationale.lrp import kernels
from rationale.lrp.linear import Known, Passed, Workspace, own_output
from rationale.network import Node


def propagate_average(space: Workspace, node: Node, stabiliser: float, known: Known) -> Passed:
    """R_i = x_i Σ_j (1/n_j) R_j / (z_j + ε·sign(z_j)), z_j being the average: the ε-rule with the pool as weights.

    αβ would multiply relevance by α here, for non-negative inputs have no lowering contributions.
    """
    net = space.network
    relevance = net.diff(node.tops[0])
    sums = kernels.divide(relevance, own_output(space, node, known), None, stabiliser, 1.0, relevance)
    net.run_backward(node)
    passed = kernels.multiply(net.diff(node.bottoms[0]), net.data(node.bottoms[0]))
    return Passed(passed, np.zeros(len(passed)), sums.stabiliser)


def propagate_average_evenly(space: Workspace, node: Node) -> Passed:
    """R_i = Σ_j R_j / n_j: under `flat` and w², which do not look at activations, neither does the pool."""
    net = space.network
    relevance = net.diff(node.tops[0])
    ones = space.scratch("input", net.data(node.bottoms[0]).shape)
    ones.data.fill(1)
    inside = space.scratch("output", relevance.shape)  # the share of each window that is not padding
    with net.borrowed(node, bottom=ones, top=inside):
        net.run_forward(node)
    relevance /= inside.data
    net.run_backward(node)
    passed = kernels.total(net.diff(node.bottoms[0]))
    return Passed(passed, np.zeros(len(passed)), np.zeros(len(passed)))
