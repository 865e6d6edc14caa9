"""Relevance through Embed layers, which look up a vector for each word."""

import numpy as np

from rationale.lrp import kernels
from rationale.lrp.linear import Known, Passed, Workspace, own_output
from rationale.network import Node


def propagate_embed(space: Workspace, node: Node, stabiliser: float, known: Known) -> Passed:
    """R_t = Σ_d w_d / (w_d + b_d + ε·sign) · R_td: a word gets the relevance of its vector.

    As a dense layer over one-hot words would by the ε-rule; without a bias nothing is stabilised, for the one input of
    each output brought all of it.
    """
    net = space.network
    relevance = net.diff(node.tops[0])
    nothing = np.zeros(len(relevance))
    bias = net.parameters(node)[1:]
    words = net.diff(node.bottoms[0])
    if not bias:
        words[...] = relevance.sum(axis=-1)
        return Passed(kernels.total(words), nothing, nothing)
    received = kernels.total(relevance)
    outputs = own_output(space, node, known)
    shares = relevance / (outputs + np.where(outputs < 0, -stabiliser, stabiliser).astype(np.float32))
    words[...] = ((outputs - bias[0]) * shares).sum(axis=-1)
    taken = kernels.total(shares * bias[0])
    passed = kernels.total(words)
    return Passed(passed, taken, received - passed - taken)
