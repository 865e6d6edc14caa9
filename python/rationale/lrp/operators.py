"""Layers that are linear in their inputs, behind one face, so that every rule works on each of them.

An operator computes y_j = Σ_i x̃_i w̃_ij + b̃_j and its transpose with weights changed as `rules.WEIGHTS` says; Caffe's
own kernels do it for convolutions, dense layers and pools, on memory lent to them for the moment.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rationale.lrp.rules import WEIGHTS
from rationale.lrp.workspace import Workspace
from rationale.network import Node
from rationale.network.network import Blob

Array = NDArray[np.float32]
Blobs = Sequence[Blob | None]  # one for each bottom; None for the layer's own


class Operator(Protocol):
    """A layer linear in its inputs."""

    space: Workspace
    node: Node

    def forward(self, weights: str, bias: str, gamma: float, inputs: Blobs, purpose: str) -> Array:
        """Σ_i x̃_i w̃_ij + b̃_j in scratch memory of that purpose."""
        ...

    def backward(self, weights: str, gamma: float, quotient: Blob | None, gradients: Blobs) -> None:
        """Σ_j w̃_ij q_j to the gradients' diffs; q is the quotient's diff, or the layer's own top diff."""
        ...

    def bias(self, name: str, gamma: float) -> Array | None:
        """b̃, (C,), or None where the layer has none."""
        ...


class Weighted:
    """A convolution, transposed convolution or dense layer."""

    def __init__(self, space: Workspace, node: Node) -> None:
        self.space = space
        self.node = node

    def forward(self, weights: str, bias: str, gamma: float, inputs: Blobs, purpose: str) -> Array:
        """See Operator."""
        net, (bottom,) = self.space.network, inputs
        top = self.space.scratch(purpose, self.space.data(self.node.tops[0]).shape)
        changed = self.space.weights(self.node, weights, bias, gamma)
        with net.borrowed(self.node, weights=changed, bottom=bottom, top=top):
            net.run_forward(self.node)
        return top.data  # type: ignore[no-any-return]

    def backward(self, weights: str, gamma: float, quotient: Blob | None, gradients: Blobs) -> None:
        """See Operator."""
        net, (gradient,) = self.space.network, gradients
        changed = self.space.weights(self.node, weights, "w", gamma)
        with net.borrowed(self.node, weights=changed, top_diff=quotient, bottom_diff=gradient):
            net.run_backward(self.node)

    def bias(self, name: str, gamma: float) -> Array | None:
        """See Operator."""
        own = self.space.parameters(self.node)
        if len(own) < 2 or name == "0":
            return None
        changed = self.space.weights(self.node, "w", name, gamma)[1]
        return own[1] if changed is None else changed.data


class Average:
    """Average pooling: all weights of a window are one over its size, so that they count alike in every rule.

    w² and "ones" are meant in proportion, which is that of the weights themselves.
    """

    def __init__(self, space: Workspace, node: Node) -> None:
        self.space = space
        self.node = node

    def forward(self, weights: str, bias: str, gamma: float, inputs: Blobs, purpose: str) -> Array:
        """See Operator."""
        net, (bottom,) = self.space.network, inputs
        top = self.space.scratch(purpose, self.space.data(self.node.tops[0]).shape)
        with net.borrowed(self.node, bottom=bottom, top=top):
            net.run_forward(self.node)
        self.space.kernels.scale(top.data, _positive(weights, gamma))
        return top.data  # type: ignore[no-any-return]

    def backward(self, weights: str, gamma: float, quotient: Blob | None, gradients: Blobs) -> None:
        """See Operator."""
        net, (gradient,) = self.space.network, gradients
        with net.borrowed(self.node, top_diff=quotient, bottom_diff=gradient):
            net.run_backward(self.node)
        below = self.space.diff(self.node.bottoms[0]) if gradient is None else gradient.diff
        self.space.kernels.scale(below, _positive(weights, gamma))

    def bias(self, name: str, gamma: float) -> Array | None:
        """See Operator."""
        return None


class WeightedSum:
    """Eltwise SUM: each input counts with its coefficient. Residual connections end here."""

    def __init__(self, space: Workspace, node: Node) -> None:
        self.space = space
        self.node = node
        stated = list(node.parameter.eltwise_param.coeff)  # type: ignore[union-attr]
        self._coefficients = np.array(stated or [1.0] * len(node.bottoms), np.float32)

    def forward(self, weights: str, bias: str, gamma: float, inputs: Blobs, purpose: str) -> Array:
        """See Operator."""
        top = self.space.scratch(purpose, self.space.data(self.node.tops[0]).shape).data
        own = (self.space.data(blob) for blob in self.node.bottoms)
        values = [mine if blob is None else blob.data for mine, blob in zip(own, inputs, strict=True)]
        self.space.kernels.weighted_sum(values, WEIGHTS[weights](np, self._coefficients, gamma), top)
        return top  # type: ignore[no-any-return]

    def backward(self, weights: str, gamma: float, quotient: Blob | None, gradients: Blobs) -> None:
        """See Operator."""
        above = self.space.diff(self.node.tops[0]) if quotient is None else quotient.diff
        factors = WEIGHTS[weights](np, self._coefficients, gamma)
        for bottom, gradient, factor in zip(self.node.bottoms, gradients, factors, strict=True):
            below = self.space.diff(bottom) if gradient is None else gradient.diff
            self.space.kernels.times(above, float(factor), below)

    def bias(self, name: str, gamma: float) -> Array | None:
        """See Operator."""
        return None


class ComputedBias:
    """Bias with a second input: the sum of a signal and what is added to it, which is smaller and stretched over it."""

    def __init__(self, space: Workspace, node: Node) -> None:
        self.space = space
        self.node = node

    def forward(self, weights: str, bias: str, gamma: float, inputs: Blobs, purpose: str) -> Array:
        """See Operator; here with the layer's own inputs and weights only, which is all that the ε-rule wants."""
        assert weights == "w"
        assert not any(inputs)
        top = self.space.scratch(purpose, self.space.data(self.node.tops[0]).shape)
        with self.space.network.borrowed(self.node, top=top):
            self.space.network.run_forward(self.node)
        return top.data  # type: ignore[no-any-return]

    def backward(self, weights: str, gamma: float, quotient: Blob | None, gradients: Blobs) -> None:
        """See Operator and `forward`."""
        assert weights == "w"
        assert quotient is None
        assert not any(gradients)
        self.space.network.run_backward(self.node)

    def bias(self, name: str, gamma: float) -> Array | None:
        """See Operator."""
        return None


def _positive(weights: str, gamma: float) -> float:
    """What the change makes of a positive weight, in multiples of it."""
    if weights in ("w²", "ones"):
        return 1.0
    return float(WEIGHTS[weights](np, np.ones(1, np.float32), gamma)[0])
