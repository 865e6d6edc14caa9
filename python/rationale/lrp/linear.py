"""Applies a rule to one linear layer: Caffe's own forward and backward with changed weights, NumPy for the rest."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.lrp import kernels
from rationale.lrp.ledger import Amounts
from rationale.lrp.rules import INPUTS, WEIGHTS, Fraction, Rule, Term
from rationale.network import Network, Node
from rationale.network.network import Blob, make_blob

Array = NDArray[np.float32]

_WHOLE = Term("x", "w", "w")


@dataclass
class Workspace:
    """Changed weights and scratch memory of one network, kept between passes."""

    network: Network
    _weights: dict[tuple[int, str, str], list[Blob]] = field(default_factory=dict)
    _window_sizes: dict[tuple[int, tuple[int, ...]], Array] = field(default_factory=dict)
    _scratch: dict[str, Any] = field(default_factory=dict)

    def weights(self, node: Node, term: Term) -> list[Blob] | None:
        """The layer's weights and bias changed as the term says; None where nothing changes."""
        if term.weights == "w" and term.bias == "w":
            return None
        key = (node.index, term.weights, term.bias)
        if key not in self._weights:
            names = (term.weights, term.bias)
            own = self.network.parameters(node)
            self._weights[key] = [_changed(array, name) for array, name in zip(own, names, strict=False)]
        return self._weights[key]

    def scratch(self, purpose: str, shape: tuple[int, ...]) -> Blob:
        """A blob for temporary numbers; one memory for each purpose, as large as the largest layer."""
        blob: Blob = self._scratch.setdefault(purpose, make_blob((1,)))
        blob.reshape(*shape)
        return blob

    def window_sizes(self, node: Node, term: Term) -> Array:
        """How many inputs each place of the layer's output reads, (1, 1, …)."""
        net = self.network
        shape = net.data(node.bottoms[0]).shape
        key = (node.index, shape[1:])
        if key not in self._window_sizes:
            counted = _forward(self, node, term, self._ones(shape), "output")
            self._window_sizes[key] = counted[:1, :1].copy()
        return self._window_sizes[key]

    def _ones(self, shape: tuple[int, ...]) -> Blob:
        blob = self.scratch("input", shape)
        blob.data.fill(1)
        return blob


def _changed(array: Array, name: str) -> Blob:
    change = WEIGHTS[name]
    blob = make_blob(array.shape)
    blob.data[...] = array if change is None else change(array)
    return blob


@dataclass(frozen=True)
class Passed:
    """What a layer did with its relevance, (N,) each: passed on, kept by the biases, kept by the stabiliser."""

    on: Amounts
    bias: Amounts
    stabiliser: Amounts


@dataclass(frozen=True)
class Known:
    """What is known of a layer's values without looking at them.

    `input_nonnegative`, `output_nonnegative`: they hold no negative number. `output_stored`: the top blob still holds
    Σ w x + b wherever relevance is not zero.
    """

    input_nonnegative: bool
    output_nonnegative: bool
    output_stored: bool


def propagate_linear(space: Workspace, node: Node, rule: Rule, known: Known) -> Passed:
    """Turns the relevance in the layer's top diff into relevance in its bottom diff, by `rule`; the top diff is spent.

    Args:
        space: scratch memory of the network, whose last forward pass the activations come from.
        node: a layer linear in its input, with weights and perhaps a bias.
        rule: what to do.
        known: what need not be looked at.
    """
    net = space.network
    relevance = net.diff(node.tops[0])
    bias, stabiliser = np.zeros(len(relevance)), np.zeros(len(relevance))
    gradients = _Gradients(space, node)
    raising: Array | None = None
    for number, fraction in enumerate(rule.fractions):
        terms = [term for term in fraction.terms if term.inputs != "x-" or not known.input_nonnegative]
        denominator, sign = _denominator(space, node, fraction, terms, known, raising)
        raising = denominator
        last = number + 1 == len(rule.fractions)
        quotient = net.diff(node.tops[0]) if last else space.scratch("quotient", relevance.shape).diff
        sums = kernels.divide(relevance, denominator, sign, rule.stabiliser, fraction.coefficient, quotient)
        stabiliser += sums.stabiliser
        for term in terms:
            bias += _bias_share(space, node, term, sums.by_channel)
            gradients.add(term, None if last else space.scratch("quotient", relevance.shape))
    return Passed(gradients.times_inputs(known), bias, stabiliser)


def _denominator(
    space: Workspace, node: Node, fraction: Fraction, terms: list[Term], known: Known, raising: Array | None
) -> tuple[Array, int | None]:
    """z of a fraction and its sign, if all of it has the same. `raising` is z of the fraction before."""
    net = space.network
    if fraction.terms == (_WHOLE,):
        if known.output_stored:
            return net.data(node.tops[0]), 1 if known.output_nonnegative else None
        return _forward(space, node, _WHOLE, None, "output"), None
    if fraction.terms[0].inputs == "ones":
        return space.window_sizes(node, fraction.terms[0]), 1
    if fraction.lowering and raising is not None and known.output_stored:
        lowering = space.scratch("lowering", raising.shape).data
        if kernels.complement(net.data(node.tops[0]), raising, net.diff(node.tops[0]), lowering):
            return lowering, -1
    purpose = "lowering" if fraction.lowering else "output"
    z = _forward(space, node, terms[0], _changed_input(space, node, terms[0], known), purpose)
    for term in terms[1:]:
        kernels.add(z, _forward(space, node, term, _changed_input(space, node, term, known), "more output"))
    return z, -1 if fraction.lowering else 1


def _forward(space: Workspace, node: Node, term: Term, inputs: Blob | None, purpose: str) -> Array:
    """Σ_i x̃_i w̃_ij + b̃_j, in scratch memory."""
    net = space.network
    top = space.scratch(purpose, net.data(node.tops[0]).shape)
    with net.borrowed(node, weights=space.weights(node, term), bottom=inputs, top=top):
        net.run_forward(node)
    data: Array = top.data
    return data


def _changed_input(space: Workspace, node: Node, term: Term, known: Known) -> Blob | None:
    """A blob with the term's inputs, or None where they are the layer's own."""
    change = INPUTS[term.inputs]
    if change is None or (term.inputs == "x+" and known.input_nonnegative):
        return None
    own = space.network.data(node.bottoms[0])
    blob = space.scratch("input", own.shape)
    blob.data[...] = change(own)
    return blob


class _Gradients:
    """Adds up Σ_j w̃_ij R_j / z_j of terms with the same inputs x̃, then multiplies each sum by its x̃."""

    def __init__(self, space: Workspace, node: Node) -> None:
        self._space = space
        self._node = node
        self._sums: dict[str, Array] = {}
        self._inputs: dict[str, Term] = {}

    def add(self, term: Term, quotient: Blob | None) -> None:
        """Runs the layer backward on the quotients (in its top diff where None) with the term's weights."""
        net, node = self._space.network, self._node
        own = net.diff(node.bottoms[0])
        weights = self._space.weights(node, term)
        if not self._sums:
            with net.borrowed(node, weights=weights, top_diff=quotient):
                net.run_backward(node)
            self._sums[term.inputs] = own
        else:
            scratch = self._space.scratch("gradient", own.shape)
            with net.borrowed(node, weights=weights, top_diff=quotient, bottom_diff=scratch):
                net.run_backward(node)
            if term.inputs in self._sums:
                kernels.add(self._sums[term.inputs], scratch.diff)
            else:
                self._sums[term.inputs] = scratch.diff.copy()
        self._inputs[term.inputs] = term

    def times_inputs(self, known: Known) -> Amounts:
        """Leaves Σ x̃ · sum in the bottom diff and returns its total for each sample."""
        net, node = self._space.network, self._node
        result, passed = net.diff(node.bottoms[0]), np.zeros(len(net.diff(node.bottoms[0])))
        for number, (name, gradient) in enumerate(self._sums.items()):
            if name == "ones":
                passed += kernels.total(gradient)
            else:
                changed = _changed_input(self._space, node, self._inputs[name], known)
                factor = net.data(node.bottoms[0]) if changed is None else changed.data
                passed += kernels.multiply(gradient, factor)
            if number > 0:  # the first sum lies in the bottom diff itself
                kernels.add(result, gradient)
        return passed


def _bias_share(space: Workspace, node: Node, term: Term, quotient_sums: Amounts) -> Amounts:
    """Σ_j b̃_j R_j / z_j, (N,)."""
    own = space.network.parameters(node)
    if len(own) < 2 or term.bias == "0":
        return np.zeros(len(quotient_sums))
    changed = space.weights(node, term)
    bias = own[1] if changed is None else changed[1].data
    return np.asarray(quotient_sums @ bias.ravel().astype(np.float64))
