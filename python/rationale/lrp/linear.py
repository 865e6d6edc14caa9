"""Applies a rule to a layer that is linear in its inputs: forward and backward with changed weights, in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.ledger import Amounts
from rationale.lrp.operators import Blobs, Operator
from rationale.lrp.rules import CONSTANT_INPUTS, INPUTS, Fraction, Rule, Term, flat
from rationale.network.network import Blob

Array = NDArray[np.float32]

_WHOLE = Term("x", "w", "w")
_EVEN = flat().fractions[0].terms[0]


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

    @property
    def rectified(self) -> bool:
        """Whether relevance sits only where the stored output is positive."""
        return self.output_nonnegative and self.output_stored


def propagate_linear(operator: Operator, rule: Rule, known: Known) -> Passed:
    """Turns the relevance in a layer's top diff into relevance in its bottom diffs, by `rule`; the top diff is spent.

    The layer's activations are those of the last forward pass.
    """
    return _Redistribution(operator, rule, known).run()


class _Redistribution:
    """One rule on one layer."""

    def __init__(self, operator: Operator, rule: Rule, known: Known) -> None:
        self.operator = operator
        self.rule = rule
        self.known = known
        self.space = operator.space
        self.kernels = operator.space.kernels
        self.node = operator.node
        self.relevance = self.space.diff(self.node.tops[0])
        # Σ_j w̃_ij R_j / z_j of all terms with the same inputs and sign, an array for each bottom.
        self.gradients: dict[tuple[str, int], list[Array]] = {}

    def run(self) -> Passed:
        relevance, rule, kernels = self.relevance, self.rule, self.kernels
        bias, stabiliser = kernels.nothing(len(relevance)), kernels.nothing(len(relevance))
        spread = kernels.xp.zeros_like(relevance) if rule.spread_bias else None
        fractions = [each for each in rule.fractions if not (each.where == "z<0" and self.known.rectified)]
        raising: Array | None = None  # the raising contributions, where the fraction before has computed them
        for number, fraction in enumerate(fractions):
            terms = [term for term in fraction.terms if not self._is_empty(term)]
            given = self._given(fraction)
            denominator, sign = self._denominator(fraction, terms, raising)
            raising = denominator if fraction.raising else None
            is_last = number + 1 == len(fractions) and spread is None
            quotient = None if is_last else self.space.scratch("quotient", relevance.shape)
            out = relevance if quotient is None else quotient.diff
            sums = kernels.divide(given, denominator, sign, rule.stabiliser, fraction.coefficient, out, rule.relative)
            for term in terms:
                bias += self._bias_share(term, sums.by_channel)
                self._add_gradient(term, quotient)
            stabiliser += sums.stabiliser
            if spread is not None:
                kernels.add_rest(spread, given, fraction.coefficient, out, denominator - self._bias_of(terms))
        passed = self._times_inputs()
        if spread is None:
            return Passed(passed, bias, stabiliser)
        spread_on, left = self._spread_evenly(spread)
        return Passed(passed + spread_on, kernels.nothing(len(relevance)), left)

    # ---- denominators ------------------------------------------------------------------------------------------------

    def _is_empty(self, term: Term) -> bool:
        """Whether nothing is below zero among inputs of which the term takes what is."""
        return term.inputs == "x-" and term.bias == "0" and self.known.input_nonnegative

    def _given(self, fraction: Fraction) -> Array:
        """The relevance of the outputs that the fraction is for."""
        if fraction.where is None or self.known.rectified:
            return self.relevance
        chosen = self.space.scratch("chosen", self.relevance.shape).data
        self.kernels.choose(self.relevance, own_output(self.operator, self.known), fraction.where == "z>0", chosen)
        return chosen  # type: ignore[no-any-return]

    def _denominator(
        self, fraction: Fraction, terms: Sequence[Term], raising: Array | None
    ) -> tuple[Array, int | None]:
        """z of a fraction and its sign, if all of it has the same."""
        if fraction.terms == (_WHOLE,):
            return own_output(self.operator, self.known), 1 if self.known.rectified else None
        sign = self._sign(terms)
        if fraction.lowering and raising is not None and self.known.output_stored:
            lowering = self.space.scratch("lowering", raising.shape).data
            if self.kernels.complement(self.space.data(self.node.tops[0]), raising, self.relevance, lowering):
                return lowering, sign
        purpose = "lowering" if fraction.lowering else "output"
        key = (self.node.index, tuple(terms), self.rule.gamma, self.rule.bounds)
        return self.space.repeated(key, lambda: self._sum_of(terms, purpose)), sign

    def _sign(self, terms: Sequence[Term]) -> int | None:
        """+1 or −1 where no contribution of the terms can have the other sign."""
        signs = {sign for term in terms for sign in term.signs(self.known.input_nonnegative)}
        return signs.pop() if len(signs) == 1 else None

    def _sum_of(self, terms: Sequence[Term], purpose: str) -> Array:
        """Σ_terms sign · (Σ_i x̃_i w̃_ij + b̃_j), (N, C, …), or (1, C, …) where no input depends on the picture."""
        constants = [(self._constant_output(term), term.sign) for term in terms if is_constant(term)]
        varying = [term for term in terms if not is_constant(term)]
        if not terms:
            return self.kernels.xp.zeros_like(self.relevance)  # type: ignore[no-any-return]
        if not varying:
            (first, sign), *others = constants
            if sign > 0 and not others:
                return first
            result = sign * first
            for more, sign in others:
                self.kernels.add(result, more, sign)
            return result
        result = self._forward(varying[0], purpose)
        self.kernels.scale(result, varying[0].sign)
        for term in varying[1:]:
            self.kernels.add(result, self._forward(term, "more output"), term.sign)
        for more, sign in constants:
            result += sign * more
        return result

    def _forward(self, term: Term, purpose: str) -> Array:
        return self.operator.forward(term.weights, term.bias, self.rule.gamma, self._inputs(term), purpose)

    def _constant_output(self, term: Term) -> Array:
        """Σ_i x̃_i w̃_ij + b̃_j of a term whose inputs do not depend on the picture, (1, C, …); kept between passes."""
        shapes = [self.space.data(bottom).shape for bottom in self.node.bottoms]
        key = (term.inputs, term.weights, term.bias, self.rule.gamma, self.rule.bounds, tuple(s[1:] for s in shapes))

        def compute() -> Array:
            inputs: list[Blob] = []
            for number, shape in enumerate(shapes):
                inputs.append(self.space.scratch(f"input {number}", shape))
                self.space.views.write(inputs[-1].data, constant_input(term, self.rule, shape))
            return self.operator.forward(term.weights, term.bias, self.rule.gamma, inputs, "constant")[:1].copy()

        return self.space.output(self.node, key, compute)

    def _inputs(self, term: Term) -> Blobs:
        """Blobs with the term's inputs, None where they are the layer's own."""
        change = INPUTS[term.inputs]
        if change is None or (term.inputs == "x+" and self.known.input_nonnegative):
            return [None] * len(self.node.bottoms)
        blobs = []
        for number, bottom in enumerate(self.node.bottoms):
            own = self.space.data(bottom)
            blobs.append(self.space.scratch(f"input {number}", own.shape))
            blobs[-1].data[...] = change(self.kernels.xp, own)
        return blobs

    # ---- what is passed on -------------------------------------------------------------------------------------------

    def _add_gradient(self, term: Term, quotient: Blob | None) -> None:
        """Runs the layer backward on the quotients (in its top diff where None) with the term's weights."""
        bottoms, key = self.node.bottoms, (term.inputs, term.sign)
        own = [self.space.diff(bottom) for bottom in bottoms]
        if not self.gradients:
            self.operator.backward(term.weights, self.rule.gamma, quotient, [None] * len(bottoms))
            self.gradients[key] = own
            return
        scratch = [self.space.scratch(f"gradient {number}", each.shape) for number, each in enumerate(own)]
        self.operator.backward(term.weights, self.rule.gamma, quotient, scratch)
        if key not in self.gradients:
            self.gradients[key] = [blob.diff.copy() for blob in scratch]
            return
        for together, blob in zip(self.gradients[key], scratch, strict=True):
            self.kernels.add(together, blob.diff)

    def _times_inputs(self) -> Amounts:
        """Leaves Σ sign · x̃ · gradient in the bottom diffs and returns its total for each sample."""
        passed = self.kernels.nothing(len(self.relevance))
        if not self.gradients:  # no term was left: nothing is passed on
            for bottom in self.node.bottoms:
                self.space.diff(bottom).fill(0)
        for number, ((inputs, sign), gradients) in enumerate(self.gradients.items()):
            changed = self._inputs(Term(inputs, "w", "w")) if inputs in INPUTS else [None] * len(gradients)
            for bottom, gradient, blob in zip(self.node.bottoms, gradients, changed, strict=True):
                if inputs == "ones":
                    self.kernels.scale(gradient, sign)
                    passed += self.kernels.total(gradient)
                elif inputs in CONSTANT_INPUTS:
                    factor = self.space.constant(constant_input(Term(inputs, "w", "0"), self.rule, gradient.shape))
                    passed += self.kernels.multiply(gradient, factor, sign)
                else:
                    factor = self.space.data(bottom) if blob is None else blob.data
                    passed += self.kernels.multiply(gradient, factor, sign)
                if number > 0:  # the first gradient lies in the bottom diff itself
                    self.kernels.add(self.space.diff(bottom), gradient)
        return passed

    # ---- biases ------------------------------------------------------------------------------------------------------

    def _bias_of(self, terms: Sequence[Term]) -> Array:
        """Σ_terms sign · b̃, (1, C, …)."""
        shape = (1, -1, *(1,) * (self.relevance.ndim - 2))
        result = self.kernels.xp.zeros((1,) * self.relevance.ndim, np.float32)
        for term in terms:
            bias = self.operator.bias(term.bias, self.rule.gamma)
            if bias is not None:
                result = result + term.sign * bias.reshape(shape)
        return result  # type: ignore[no-any-return]

    def _bias_share(self, term: Term, quotient_sums: Amounts) -> Amounts:
        """Σ_j b̃_j R_j / z_j, (N,)."""
        bias = self.operator.bias(term.bias, self.rule.gamma)
        if bias is None:
            return self.kernels.nothing(len(self.relevance))
        return self.kernels.weigh(quotient_sums, bias, term.sign)

    def _spread_evenly(self, absorbed: Array) -> tuple[Amounts, Amounts]:
        """Adds what each output absorbed to its inputs in equal parts; returns the sum added, (N,), and what is left.

        Left is what outputs without any input absorbed, as in the rim of a padded 1 × 1 convolution.
        """
        quotient = self.space.scratch("quotient", absorbed.shape)
        left = self.kernels.share_out(absorbed, self._constant_output(_EVEN), quotient.diff)
        own = [self.space.diff(bottom) for bottom in self.node.bottoms]
        scratch = [self.space.scratch(f"gradient {number}", each.shape) for number, each in enumerate(own)]
        self.operator.backward(_EVEN.weights, 0.0, quotient, scratch)
        added = self.kernels.nothing(len(absorbed))
        for below, blob in zip(own, scratch, strict=True):
            self.kernels.add(below, blob.diff)
            added += self.kernels.total(blob.diff)
        return added, left


def own_output(operator: Operator, known: Known) -> Array:
    """What the layer itself put out, wherever relevance is not zero; computed again where it was overwritten."""
    if known.output_stored:
        return operator.space.data(operator.node.tops[0])
    return operator.forward("w", "w", 0.0, [None] * len(operator.node.bottoms), "output")


def is_constant(term: Term) -> bool:
    """Whether the term's inputs do not depend on the picture."""
    return term.inputs in CONSTANT_INPUTS


def constant_input(term: Term, rule: Rule, shape: tuple[int, ...]) -> Array:
    """The inputs "ones", "low" and "high" as an array that broadcasts to (N, C, …).

    Raises:
        RuleError: the rule has no bounds, or bounds for another number of channels.
    """
    if term.inputs == "ones":
        return np.ones((1,) * len(shape), np.float32)
    if rule.bounds is None:
        raise RuleError(f"rule {rule.name}: the least and greatest value of an input are not known")
    values = np.array(rule.bounds[term.inputs == "high"], np.float32)
    if len(values) not in (1, shape[1]):
        raise RuleError(f"rule {rule.name}: bounds for {len(values)} channels, but the layer reads {shape[1]}")
    return values.reshape(1, -1, *(1,) * (len(shape) - 2))
