"""Relevance through average pooling: in proportion to what each input contributed to the average."""

import numpy as np

from rationale.lrp.ledger import total
from rationale.lrp.linear import Absorbed, Workspace
from rationale.network import Node


def propagate_average(space: Workspace, node: Node, stabiliser: float) -> Absorbed:
    """R_i = x_i Σ_j (1/n_j) R_j / (z_j + ε·sign(z_j)), z_j being the average: the ε-rule with the pool as weights.

    αβ would multiply relevance by α here, for non-negative inputs have no lowering contributions.
    """
    net = space.network
    average = net.data(node.tops[0])
    quotient = space.scratch("quotient", average.shape)
    shift = np.copysign(np.float32(stabiliser), average)
    np.divide(net.diff(node.tops[0]), average + shift, out=quotient.diff)
    with net.borrowed(node, top_diff=quotient):
        net.run_backward(node)
    net.diff(node.bottoms[0])[...] *= net.data(node.bottoms[0])
    return Absorbed(np.zeros(len(average)), total(quotient.diff * shift))
