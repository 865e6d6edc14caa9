"""Applies a rule to one linear layer: Caffe's own forward and backward with changed weights, NumPy for the rest."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.lrp.ledger import Amounts, total
from rationale.lrp.rules import INPUTS, WEIGHTS, Rule, Term
from rationale.network import Network, Node
from rationale.network.network import Blob, make_blob

Array = NDArray[np.float32]


@dataclass
class Workspace:
    """Changed weights and scratch memory of one network, kept between passes."""

    network: Network
    _weights: dict[tuple[int, str, str], list[Blob]] = field(default_factory=dict)
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


def _changed(array: Array, name: str) -> Blob:
    change = WEIGHTS[name]
    blob = make_blob(array.shape)
    blob.data[...] = array if change is None else change(array)
    return blob


@dataclass(frozen=True)
class Absorbed:
    """What a layer kept, (N,) each: the share of the biases and that of the stabiliser."""

    bias: Amounts
    stabiliser: Amounts


def propagate_linear(space: Workspace, node: Node, rule: Rule, *, output_is_stored: bool) -> Absorbed:
    """Turns the relevance in the layer's top diff into relevance in its bottom diff, by `rule`.

    Args:
        space: scratch memory of the network, whose last forward pass the activations come from.
        node: a layer linear in its input, with weights and perhaps a bias.
        rule: what to do.
        output_is_stored: whether the top blob still holds Σ w x + b wherever relevance is not zero.
    """
    net = space.network
    relevance, inputs = net.diff(node.tops[0]), net.data(node.bottoms[0])
    result = net.diff(node.bottoms[0])
    negative_inputs = bool((inputs < 0).any()) if _asks_for_sign(rule) else True
    bias, stabiliser = np.zeros(len(relevance)), np.zeros(len(relevance))
    quotient = space.scratch("quotient", relevance.shape)
    pending = _Sum(result)
    for fraction in rule.fractions:
        terms = [term for term in fraction.terms if term.inputs != "x-" or negative_inputs]
        denominator = _denominator(space, node, terms, output_is_stored)
        shift = np.copysign(np.float32(rule.stabiliser), denominator)
        denominator = denominator + shift
        np.divide(relevance, denominator, out=quotient.diff, where=denominator != 0)
        quotient.diff[denominator == 0] = 0
        stabiliser += fraction.coefficient * total(quotient.diff * shift)
        for term in terms:
            bias += fraction.coefficient * _bias_share(space, node, term, quotient.diff)
            pending.add(_redistribute(space, node, term, quotient, negative_inputs), fraction.coefficient)
    pending.write()
    return Absorbed(bias, stabiliser)


def _asks_for_sign(rule: Rule) -> bool:
    return any(term.inputs in ("x+", "x-") for fraction in rule.fractions for term in fraction.terms)


class _Sum:
    """Adds up contributions, then writes them to where they belong (which they may have used as scratch)."""

    def __init__(self, result: Array) -> None:
        self._result = result
        self._sum: Array | None = None

    def add(self, contribution: Array, coefficient: float) -> None:
        scaled = contribution if coefficient == 1 else contribution * np.float32(coefficient)
        self._sum = scaled if self._sum is None else self._sum + scaled

    def write(self) -> None:
        if self._sum is not None:
            self._result[...] = self._sum


def _denominator(space: Workspace, node: Node, terms: list[Term], output_is_stored: bool) -> Array:
    """z of a fraction, (N, …) like the layer's output."""
    net = space.network
    total_z: Array | None = None
    for term in terms:
        if term == Term("x", "w", "w") and output_is_stored:
            part = net.data(node.tops[0])
        else:
            top = space.scratch("output", net.data(node.tops[0]).shape)
            bottom = _changed_input(space, node, term, negative_inputs=True)
            with net.borrowed(node, weights=space.weights(node, term), bottom=bottom, top=top):
                net.run_forward(node)
            part = top.data.copy() if len(terms) > 1 else top.data
        total_z = part if total_z is None else total_z + part
    assert total_z is not None
    return total_z


def _changed_input(space: Workspace, node: Node, term: Term, *, negative_inputs: bool) -> Any:
    """A blob with the term's inputs, or None where they are the layer's own."""
    change = INPUTS[term.inputs]
    if change is None or (term.inputs == "x+" and not negative_inputs):
        return None
    own = space.network.data(node.bottoms[0])
    blob = space.scratch("input", own.shape)
    blob.data[...] = change(own)
    return blob


def _redistribute(space: Workspace, node: Node, term: Term, quotient: Blob, negative_inputs: bool) -> Array:
    """x̃_i Σ_j w̃_ij R_j / z_j of one term, in new memory."""
    net = space.network
    with net.borrowed(node, weights=space.weights(node, term), top_diff=quotient):
        net.run_backward(node)
    gradient = net.diff(node.bottoms[0])
    if term.inputs == "ones":
        return gradient.copy()
    changed = _changed_input(space, node, term, negative_inputs=negative_inputs)
    return gradient * (net.data(node.bottoms[0]) if changed is None else changed.data)


def _bias_share(space: Workspace, node: Node, term: Term, quotient: Array) -> Amounts:
    """Σ_j b̃_j R_j / z_j, (N,)."""
    own = space.network.parameters(node)
    if len(own) < 2 or term.bias == "0":
        return np.zeros(len(quotient))
    changed = space.weights(node, term)
    bias = own[1] if changed is None else changed[1].data
    per_unit = quotient.reshape(len(quotient), bias.size, -1).sum(axis=-1)
    return np.asarray(per_unit.astype(np.float64) @ bias.ravel().astype(np.float64))
