"""Relevance rules for linear layers, as data: which inputs, weights and biases enter which denominator.

A rule is a sum of fractions; a fraction redistributes a share of the relevance in proportion to its terms:

    R_i = Σ_fractions  coefficient · Σ_terms  x̃_i · Σ_j w̃_ij · R_j / (z_j + ε·sign(z_j)),
    z_j = Σ_terms ( Σ_i x̃_i w̃_ij + b̃_j ),      sign(0) = +1,

where x̃, w̃ and b̃ are the layer's input, weights and bias, changed as the term says (`INPUTS`, `WEIGHTS`). One pass
(`rationale.lrp.linear`) serves every rule; a new rule is one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

STABILISER = 1e-6

# How a term changes the layer's input x. None: the input as it is; "ones" ignores the activation.
INPUTS: dict[str, Callable[[Array], Array] | None] = {
    "x": None,
    "x+": lambda x: np.maximum(x, 0),
    "x-": lambda x: np.minimum(x, 0),
    "ones": np.ones_like,
}

# How a term changes weights or bias.
WEIGHTS: dict[str, Callable[[Array], Array] | None] = {
    "w": None,
    "w+": lambda w: np.maximum(w, 0),
    "w-": lambda w: np.minimum(w, 0),
    "ones": np.ones_like,
    "0": np.zeros_like,
}


@dataclass(frozen=True)
class Term:
    """One product of changed inputs and changed weights, plus a changed bias (names in INPUTS and WEIGHTS)."""

    inputs: str
    weights: str
    bias: str


@dataclass(frozen=True)
class Fraction:
    """Terms that share a denominator, and the share of the relevance that they redistribute."""

    coefficient: float
    terms: tuple[Term, ...]

    @property
    def lowering(self) -> bool:
        """Whether the terms are exactly the contributions that lower the pre-activation."""
        return self.terms == _NEGATIVE


@dataclass(frozen=True)
class Rule:
    """A relevance rule. `stabiliser` is ε, in units of the layer's pre-activation."""

    name: str
    fractions: tuple[Fraction, ...]
    stabiliser: float = STABILISER

    @property
    def follows_activation(self) -> bool:
        """Whether an input of zero gets no relevance."""
        return all(term.inputs != "ones" for fraction in self.fractions for term in fraction.terms)


_PLAIN = Term("x", "w", "w")
_POSITIVE = (Term("x+", "w+", "w+"), Term("x-", "w-", "0"))
_NEGATIVE = (Term("x+", "w-", "w-"), Term("x-", "w+", "0"))


def lrp_0() -> Rule:
    """LRP-0: in proportion to the contributions, without a stabiliser; 0/0 counts as 0 (Bach et al. 2015, eq. 56)."""
    return Rule("0", (Fraction(1.0, (_PLAIN,)),), stabiliser=0.0)


def epsilon(epsilon: float = STABILISER) -> Rule:
    """LRP-ε: LRP-0 with ε·sign(z) added to the denominator (Bach et al. 2015, eq. 58)."""
    return Rule(f"epsilon({epsilon:g})", (Fraction(1.0, (_PLAIN,)),), stabiliser=epsilon)


def z_plus() -> Rule:
    """z⁺: only contributions that raise the pre-activation count (Montavon et al. 2017, the
    z⁺-rule; here for signed inputs too)."""
    return Rule("z+", (Fraction(1.0, _POSITIVE),))


def alpha_beta(alpha: float = 2.0, beta: float = 1.0) -> Rule:
    """LRP-αβ: raising contributions get α, lowering ones −β of the relevance (Bach et al. 2015, eq. 60).

    Raises:
        ValueError: α − β is not 1, so that relevance would not be conserved.
    """
    if abs(alpha - beta - 1) > 1e-9 or beta < 0:
        raise ValueError(f"alpha − beta must be 1 and beta at least 0, not {alpha:g} and {beta:g}")
    fractions = [Fraction(alpha, _POSITIVE)] + [Fraction(-beta, _NEGATIVE)] * (beta > 0)
    return Rule(f"alpha-beta({alpha:g}, {beta:g})", tuple(fractions))


def flat() -> Rule:
    """Flat: evenly over all inputs of a unit, whatever they hold (Lapuschkin et al. 2019)."""
    return Rule("flat", (Fraction(1.0, (Term("ones", "ones", "0"),)),))
