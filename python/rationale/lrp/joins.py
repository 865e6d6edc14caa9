"""Relevance through layers that join several inputs place by place: sums and products."""

import numpy as np

from rationale.lrp import kernels
from rationale.lrp.linear import Known, Passed, Workspace, own_output
from rationale.network import Node


def propagate_sum(space: Workspace, node: Node, stabiliser: float, known: Known) -> Passed:
    """R_k = c_k x_k / (Σ c_k x_k + ε·sign) · R: each input in proportion to what it brought, as the ε-rule.

    Residual connections end here.
    """
    net = space.network
    relevance = net.diff(node.tops[0])
    coefficients = list(node.parameter.eltwise_param.coeff) or [1.0] * len(node.bottoms)  # type: ignore[union-attr]
    sums = kernels.divide(relevance, own_output(space, node, known), None, stabiliser, 1.0, relevance)
    passed = np.zeros(len(relevance))
    for blob, coefficient in zip(node.bottoms, coefficients, strict=True):
        share = net.diff(blob)
        np.multiply(relevance, np.float32(coefficient), out=share)
        passed += kernels.multiply(share, net.data(blob))
    return Passed(passed, np.zeros(len(passed)), sums.stabiliser)


def propagate_equally(space: Workspace, node: Node) -> Passed:
    """R_k = R / n: for products, of which nothing is left without either factor (Achtibat et al. 2024).

    For sums, too, under rules that do not look at activations.
    """
    net = space.network
    relevance = net.diff(node.tops[0])
    passed = np.zeros(len(relevance))
    for blob in node.bottoms:
        np.divide(relevance, np.float32(len(node.bottoms)), out=net.diff(blob))
        passed += kernels.total(net.diff(blob))
    return Passed(passed, np.zeros(len(passed)), np.zeros(len(passed)))
