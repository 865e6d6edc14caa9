"""Relevance through Embed layers, which look up a vector for each word."""

from rationale.lrp.linear import Known, Passed
from rationale.lrp.rules import Rule
from rationale.lrp.workspace import Workspace
from rationale.network import Node


def propagate_embed(space: Workspace, node: Node, rule: Rule, known: Known) -> Passed:
    """R_t = Σ_d w_d / (w_d + b_d + ε·sign) · R_td: a word gets the relevance of its vector.

    As a dense layer over one-hot words would by the ε-rule; without a bias nothing is stabilised, for the one input of
    each output brought all of it.
    """
    kernels = space.kernels
    assert known.output_stored  # no layer may work in place on it
    relevance, outputs = space.diff(node.tops[0]), space.data(node.tops[0])
    nothing = kernels.nothing(len(relevance))
    bias = space.parameters(node)[1:]
    words = space.diff(node.bottoms[0])
    if not bias:
        kernels.sum_last(relevance, words)
        return Passed(kernels.total(words), nothing, nothing)
    sums = kernels.divide(relevance, outputs, None, rule.stabiliser, 1.0, relevance, rule.relative)
    taken = kernels.total_of_product(relevance, bias[0])
    kernels.multiply(relevance, outputs - bias[0])
    kernels.sum_last(relevance, words)
    return Passed(kernels.total(words), taken, sums.stabiliser)
