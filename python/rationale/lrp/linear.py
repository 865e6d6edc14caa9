"""Applies a rule to one linear layer: Caffe's own forward and backward with changed weights, NumPy for the rest."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp import kernels
from rationale.lrp.ledger import Amounts
from rationale.lrp.rules import CONSTANT_INPUTS, INPUTS, WEIGHTS, Fraction, Rule, Term, flat
from rationale.network import Network, Node
from rationale.network.network import Blob, make_blob

Array = NDArray[np.float32]

_WHOLE = Term("x", "w", "w")
_FLAT = flat()
_EVEN = _FLAT.fractions[0].terms[0]


@dataclass
class Workspace:
    """Changed weights and scratch memory of one network, kept between passes."""

    network: Network
    _weights: dict[tuple[object, ...], list[Blob]] = field(default_factory=dict)
    _fixed: dict[tuple[object, ...], Array] = field(default_factory=dict)
    _scratch: dict[str, Any] = field(default_factory=dict)

    def weights(self, node: Node, term: Term, rule: Rule) -> list[Blob] | None:
        """The layer's weights and bias changed as the term says; None where nothing changes."""
        if term.weights == "w" and term.bias == "w":
            return None
        key = (node.index, term.weights, term.bias, rule.gamma)
        if key not in self._weights:
            names = (term.weights, term.bias)
            own = self.network.parameters(node)
            self._weights[key] = [_changed(array, name, rule.gamma) for array, name in zip(own, names, strict=False)]
        return self._weights[key]

    def scratch(self, purpose: str, shape: tuple[int, ...]) -> Blob:
        """A blob for temporary numbers; one memory for each purpose, as large as the largest layer."""
        blob: Blob = self._scratch.setdefault(purpose, make_blob((1,)))
        blob.reshape(*shape)
        return blob

    def fixed_output(self, node: Node, term: Term, rule: Rule) -> Array:
        """Σ_i x̃_i w̃_ij + b̃_j of a term whose inputs do not depend on the picture, (1, C, …); kept between passes."""
        shape = self.network.data(node.bottoms[0]).shape
        key = (node.index, shape[1:], term, rule.gamma, rule.bounds)
        if key not in self._fixed:
            blob = self.scratch("input", shape)
            blob.data[...] = constant_input(term, rule, shape)
            self._fixed[key] = forward(self, node, term, rule, blob, "output")[:1].copy()
        return self._fixed[key]


def constant_input(term: Term, rule: Rule, shape: tuple[int, ...]) -> Array:
    """The inputs "ones", "low" and "high" as an array that broadcasts to (N, C, …).

    Raises:
        RuleError: the rule's bounds are for another number of channels.
    """
    if term.inputs == "ones" or rule.bounds is None:
        return np.ones((1,) * len(shape), np.float32)
    values = np.array(rule.bounds[term.inputs == "high"], np.float32)
    if len(values) not in (1, shape[1]):
        raise RuleError(f"rule {rule.name}: bounds for {len(values)} channels, but the layer reads {shape[1]}")
    return values.reshape(1, -1, *(1,) * (len(shape) - 2))


def is_constant(term: Term) -> bool:
    """Whether the term's inputs do not depend on the picture."""
    return term.inputs in CONSTANT_INPUTS


def _changed(array: Array, name: str, gamma: float) -> Blob:
    blob = make_blob(array.shape)
    blob.data[...] = WEIGHTS[name](array, gamma)
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
    what the layer itself put out wherever relevance is not zero.
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
    gradients = _Gradients(space, node, rule)
    spread = np.zeros_like(relevance) if rule.spread_bias else None
    fractions = [each for each in rule.fractions if not (each.where == "z<0" and _is_rectified(known))]
    raising: Array | None = None
    for number, fraction in enumerate(fractions):
        terms = [term for term in fraction.terms if term.inputs != "x-" or not known.input_nonnegative]
        given = relevance if fraction.where is None or _is_rectified(known) else _where(space, node, fraction, known)
        denominator, sign = _denominator(space, node, rule, fraction, terms, known, raising)
        raising = denominator
        in_place = number + 1 == len(fractions) and spread is None
        quotient = None if in_place else space.scratch("quotient", relevance.shape)
        out = relevance if quotient is None else quotient.diff
        sums = kernels.divide(given, denominator, sign, rule.stabiliser, fraction.coefficient, out, rule.relative)
        for term in terms:
            bias += _bias_share(space, node, term, rule, sums.by_channel)
            gradients.add(term, quotient)
        stabiliser += sums.stabiliser
        if spread is not None:
            spread += fraction.coefficient * given - out * (denominator - _bias_of(space, node, terms, rule))
    passed = gradients.times_inputs(known)
    if spread is None:
        return Passed(passed, bias, stabiliser)
    spread_on, left = _spread_evenly(space, node, spread)
    return Passed(passed + spread_on, np.zeros_like(bias), left)


def _is_rectified(known: Known) -> bool:
    """Whether relevance sits only where the stored pre-activation is positive."""
    return known.output_nonnegative and known.output_stored


def _where(space: Workspace, node: Node, fraction: Fraction, known: Known) -> Array:
    """The relevance of outputs with the sign that the fraction asks for, in scratch memory."""
    net = space.network
    relevance = net.diff(node.tops[0])
    plain = own_output(space, node, known)
    chosen = space.scratch("chosen", relevance.shape).data
    np.multiply(relevance, plain >= 0 if fraction.where == "z>0" else plain < 0, out=chosen)
    return np.asarray(chosen)


def _denominator(
    space: Workspace,
    node: Node,
    rule: Rule,
    fraction: Fraction,
    terms: list[Term],
    known: Known,
    raising: Array | None,
) -> tuple[Array, int | None]:
    """z of a fraction and its sign, if all of it has the same. `raising` is z of the fraction before."""
    net = space.network
    if fraction.terms == (_WHOLE,):
        return own_output(space, node, known), 1 if _is_rectified(known) else None
    if all(is_constant(term) for term in terms):
        return space.fixed_output(node, terms[0], rule), 1
    if fraction.lowering and raising is not None and known.output_stored:
        lowering = space.scratch("lowering", raising.shape).data
        if kernels.complement(net.data(node.tops[0]), raising, net.diff(node.tops[0]), lowering):
            return lowering, -1
    constants = [space.fixed_output(node, term, rule) * term.sign for term in terms if is_constant(term)]
    varying = [term for term in terms if not is_constant(term)]
    z = _forward(space, node, varying[0], rule, known, "lowering" if fraction.lowering else "output")
    for term in varying[1:]:
        kernels.add(z, _forward(space, node, term, rule, known, "more output"))
    for constant in constants:
        z += constant
    return z, None if constants or fraction.where else -1 if fraction.lowering else 1


def own_output(space: Workspace, node: Node, known: Known) -> Array:
    """What the layer itself put out, wherever relevance is not zero; computed again where it was overwritten."""
    if known.output_stored:
        return space.network.data(node.tops[0])
    return forward(space, node, _WHOLE, None, None, "output")


def _forward(space: Workspace, node: Node, term: Term, rule: Rule, known: Known, purpose: str) -> Array:
    return forward(space, node, term, rule, _changed_input(space, node, term, known), purpose)


def forward(space: Workspace, node: Node, term: Term, rule: Rule | None, inputs: Blob | None, purpose: str) -> Array:
    """Σ_i x̃_i w̃_ij + b̃_j, in scratch memory; `rule` may be None for the term that changes nothing."""
    net = space.network
    top = space.scratch(purpose, net.data(node.tops[0]).shape)
    weights = None if rule is None else space.weights(node, term, rule)
    with net.borrowed(node, weights=weights, bottom=inputs, top=top):
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

    def __init__(self, space: Workspace, node: Node, rule: Rule) -> None:
        self._space = space
        self._node = node
        self._rule = rule
        self._sums: dict[str, Array] = {}
        self._terms: dict[str, Term] = {}

    def add(self, term: Term, quotient: Blob | None) -> None:
        """Runs the layer backward on the quotients (in its top diff where None) with the term's weights."""
        net, node = self._space.network, self._node
        own = net.diff(node.bottoms[0])
        weights = self._space.weights(node, term, self._rule)
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
        self._terms[term.inputs] = term

    def times_inputs(self, known: Known) -> Amounts:
        """Leaves Σ sign · x̃ · sum in the bottom diff and returns its total for each sample."""
        net, node = self._space.network, self._node
        result = net.diff(node.bottoms[0])
        passed = np.zeros(len(result))
        for number, (name, gradient) in enumerate(self._sums.items()):
            passed += self._multiply(gradient, self._terms[name], known)
            if number > 0:  # the first sum lies in the bottom diff itself
                kernels.add(result, gradient)
        return passed

    def _multiply(self, gradient: Array, term: Term, known: Known) -> Amounts:
        if term.inputs == "ones":
            return kernels.total(gradient)
        if is_constant(term):
            gradient *= term.sign * constant_input(term, self._rule, gradient.shape)
            return kernels.total(gradient)
        changed = _changed_input(self._space, self._node, term, known)
        own = self._space.network.data(self._node.bottoms[0])
        return kernels.multiply(gradient, own if changed is None else changed.data)


def _bias_of(space: Workspace, node: Node, terms: list[Term], rule: Rule) -> Array:
    """Σ_terms sign · b̃, (1, C, …)."""
    own = space.network.parameters(node)
    dimensions = space.network.data(node.tops[0]).ndim
    total_bias = np.zeros((1, 1, *(1,) * (dimensions - 2)), np.float32)
    for term in terms:
        if len(own) > 1 and term.bias != "0":
            changed = space.weights(node, term, rule)
            bias = own[1] if changed is None else changed[1].data
            total_bias = total_bias + term.sign * bias.reshape(1, -1, *(1,) * (dimensions - 2))
    return total_bias


def _bias_share(space: Workspace, node: Node, term: Term, rule: Rule, quotient_sums: Amounts) -> Amounts:
    """Σ_j b̃_j R_j / z_j, (N,)."""
    bias = _bias_of(space, node, [term], rule).ravel().astype(np.float64)
    return np.asarray(quotient_sums @ np.broadcast_to(bias, quotient_sums.shape[1:]))


def _spread_evenly(space: Workspace, node: Node, absorbed: Array) -> tuple[Amounts, Amounts]:
    """Adds what each output absorbed to its inputs in equal parts; returns the sum added, (N,), and what is left.

    Left is what outputs without any input absorbed, as in the rim of a padded 1 × 1 convolution.
    """
    net = space.network
    quotient = space.scratch("quotient", absorbed.shape)
    counts = np.broadcast_to(space.fixed_output(node, _EVEN, _FLAT), absorbed.shape)
    quotient.diff[...] = 0
    np.divide(absorbed, counts, out=quotient.diff, where=counts != 0)
    left = kernels.total(np.where(counts == 0, absorbed, np.float32(0)))
    gradient = space.scratch("gradient", net.diff(node.bottoms[0]).shape)
    with net.borrowed(node, weights=space.weights(node, _EVEN, _FLAT), top_diff=quotient, bottom_diff=gradient):
        net.run_backward(node)
    kernels.add(net.diff(node.bottoms[0]), gradient.diff)
    return kernels.total(gradient.diff), left
