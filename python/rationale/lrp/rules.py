"""Relevance rules for linear layers, as data: which inputs, weights and biases enter which denominator.

A rule is a sum of fractions; a fraction redistributes a share of the relevance in proportion to its terms:

    R_i = Σ_fractions  coefficient · Σ_terms  sign · x̃_i · Σ_j w̃_ij · R_j / (z_j + ε·sign(z_j)),
    z_j = Σ_terms sign · ( Σ_i x̃_i w̃_ij + b̃_j ),      sign(0) = +1,

where x̃, w̃ and b̃ are the layer's input, weights and bias, changed as the term says (`INPUTS`, `CONSTANT_INPUTS`,
`WEIGHTS`). One pass (`rationale.lrp.linear`) serves every rule and every linear layer; a new rule is one entry here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError

Array = NDArray[np.float32]

STABILISER = 1e-6

# How a term changes the layer's input x, with functions of the array module xp. None: the input as it is.
INPUTS: dict[str, Callable[[Any, Array], Array] | None] = {
    "x": None,
    "x+": lambda xp, x: xp.maximum(x, 0),
    "x-": lambda xp, x: xp.minimum(x, 0),
}

# What a term may put in the input's place: 1, or the least or greatest value that an input can take (Rule.bounds).
CONSTANT_INPUTS = frozenset({"ones", "low", "high"})

# How a term changes weights or bias; γ is the rule's.
WEIGHTS: dict[str, Callable[[Any, Array, float], Array]] = {
    "w": lambda xp, w, gamma: w,
    "w+": lambda xp, w, gamma: xp.maximum(w, 0),
    "w-": lambda xp, w, gamma: xp.minimum(w, 0),
    "w+γw+": lambda xp, w, gamma: w + xp.maximum(w, 0) * np.float32(gamma),
    "w+γw-": lambda xp, w, gamma: w + xp.minimum(w, 0) * np.float32(gamma),
    "w²": lambda xp, w, gamma: w * w,
    "ones": lambda xp, w, gamma: xp.ones_like(w),
    "0": lambda xp, w, gamma: xp.zeros_like(w),
}


_BOTH = frozenset({-1, 1})

# Signs that a changed input or weight can have; an "x" of a layer whose input is never negative has but one.
_SIGNS: dict[str, frozenset[int]] = {
    **{name: frozenset({1}) for name in ("x+", "w+", "w²", "ones")},
    **{name: frozenset({-1}) for name in ("x-", "w-")},
    "0": frozenset(),
}


@dataclass(frozen=True)
class Term:
    """One product of inputs and changed weights, plus a changed bias.

    The names are those of INPUTS or CONSTANT_INPUTS, and of WEIGHTS.
    """

    inputs: str
    weights: str
    bias: str
    sign: int = 1

    def __post_init__(self) -> None:
        """Refuses names that are not in the tables.

        Raises:
            RuleError: one is not, or the sign is neither 1 nor −1.
        """
        for name, known in ((self.inputs, {*INPUTS, *CONSTANT_INPUTS}), (self.weights, WEIGHTS), (self.bias, WEIGHTS)):
            if name not in known:
                raise RuleError(f"a term knows no {name!r}; there are {', '.join(sorted(known))}")
        if self.sign not in (1, -1):
            raise RuleError(f"the sign of a term is 1 or −1, not {self.sign}")

    def signs(self, input_nonnegative: bool) -> set[int]:
        """The signs that its contributions, the bias's among them, can have."""
        inputs = frozenset({1}) if self.inputs == "x" and input_nonnegative else _SIGNS.get(self.inputs, _BOTH)
        products = {one * other for one in inputs for other in _SIGNS.get(self.weights, _BOTH)}
        return {self.sign * sign for sign in products | _SIGNS.get(self.bias, _BOTH)}


@dataclass(frozen=True)
class Fraction:
    """Terms that share a denominator, and the share of the relevance that they redistribute.

    `where` limits a fraction to the outputs whose pre-activation Σ w x + b is positive ("z>0") or negative ("z<0").
    """

    coefficient: float
    terms: tuple[Term, ...]
    where: str | None = None

    @property
    def raising(self) -> bool:
        """Whether the terms are exactly the contributions that raise the pre-activation."""
        return self.terms == _POSITIVE

    @property
    def lowering(self) -> bool:
        """Whether the terms are exactly the contributions that lower the pre-activation."""
        return self.terms == _NEGATIVE


@dataclass(frozen=True)
class Rule:
    """A relevance rule.

    Attributes:
        name: as reports and settings show it.
        fractions: what it redistributes, and how.
        stabiliser: ε, in units of the layer's pre-activation.
        relative: ε is a share of the root mean square of the sample's denominators to which relevance arrives.
        gamma: γ, for the weights that name it.
        bounds: least and greatest value of an input, for the inputs "low" and "high": numbers, or one for each channel.
        spread_bias: what biases and stabiliser would absorb is handed evenly to the inputs of the output concerned.
    """

    name: str
    fractions: tuple[Fraction, ...]
    stabiliser: float = STABILISER
    relative: bool = False
    gamma: float = 0.0
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    spread_bias: bool = False

    def __post_init__(self) -> None:
        numbers = [fraction.coefficient for fraction in self.fractions] + [self.gamma]
        if not np.isfinite(numbers).all():
            raise RuleError(f"the numbers of a rule must be finite, unlike those of {self.name!r}")
        if not 0 <= self.stabiliser < np.inf:
            raise RuleError(f"the stabiliser must be at least 0 and finite, not {self.stabiliser:g}")

    @property
    def follows_activation(self) -> bool:
        """Whether an input of zero gets no relevance."""
        only_x = all(term.inputs in INPUTS for fraction in self.fractions for term in fraction.terms)
        return only_x and not self.spread_bias

    @property
    def is_epsilon(self) -> bool:
        """Whether it is LRP-0 or the ε-rule: all in proportion to the contributions."""
        return self.fractions == (Fraction(1.0, (_PLAIN,)),)

    def stabilised_by(self, stabiliser: float) -> "Rule":
        """The rule with another ε in its denominators.

        Raises:
            RuleError: ε is below 0 or not finite.
        """
        return replace(self, name=f"{self.name}, stabiliser {stabiliser:g}", stabiliser=stabiliser)

    def spreading_bias(self) -> "Rule":
        """The rule with what biases and stabiliser absorb handed to the inputs, so that relevance is conserved."""
        return replace(self, name=f"{self.name}, bias spread", spread_bias=True)


_PLAIN = Term("x", "w", "w")
_POSITIVE = (Term("x+", "w+", "w+"), Term("x-", "w-", "0"))
_NEGATIVE = (Term("x+", "w-", "w-"), Term("x-", "w+", "0"))


def lrp_0() -> Rule:
    """LRP-0: in proportion to the contributions, without a stabiliser; 0/0 counts as 0 (Bach et al. 2015, eq. 56)."""
    return Rule("0", (Fraction(1.0, (_PLAIN,)),), stabiliser=0.0)


def epsilon(epsilon: float = STABILISER, *, relative: bool = False) -> Rule:
    """LRP-ε: LRP-0 with ε·sign(z) added to the denominator (Bach et al. 2015, eq. 58)."""
    unit = " of the layer's scale" if relative else ""
    return Rule(f"epsilon({epsilon:g}{unit})", (Fraction(1.0, (_PLAIN,)),), stabiliser=epsilon, relative=relative)


def gamma(gamma: float = 0.25) -> Rule:
    """LRP-γ: raising weights count 1 + γ times (Montavon et al. 2019, LRP-γ).

    For outputs below zero, and inputs below zero, it is mirrored, so that what favours the sign of the output is
    strengthened (as in Andéol et al. 2021).

    Raises:
        RuleError: γ is negative.
    """
    if not gamma >= 0:
        raise RuleError(f"gamma must be at least 0, not {gamma:g}")
    raising = (Term("x+", "w+γw+", "w+γw+"), Term("x-", "w+γw-", "0"))
    lowering = (Term("x+", "w+γw-", "w+γw-"), Term("x-", "w+γw+", "0"))
    fractions = (Fraction(1.0, raising, "z>0"), Fraction(1.0, lowering, "z<0"))
    return Rule(f"gamma({gamma:g})", fractions, gamma=gamma)


def z_plus() -> Rule:
    """z⁺: only contributions that raise the pre-activation count (Montavon et al. 2017, the z⁺-rule).

    Here for signed inputs too.
    """
    return Rule("z+", (Fraction(1.0, _POSITIVE),))


def alpha_beta(alpha: float = 2.0, beta: float | None = None) -> Rule:
    """LRP-αβ: raising contributions get α, lowering ones −β of the relevance (Bach et al. 2015, eq. 60).

    Raises:
        RuleError: α − β is not 1, so that relevance would not be conserved.
    """
    beta = alpha - 1 if beta is None else beta
    if abs(alpha - beta - 1) > 1e-9 or beta < 0:
        raise RuleError(f"alpha − beta must be 1 and beta at least 0, not {alpha:g} and {beta:g}")
    fractions = [Fraction(alpha, _POSITIVE)] + [Fraction(-beta, _NEGATIVE)] * (beta > 0)
    return Rule(f"alpha-beta({alpha:g}, {beta:g})", tuple(fractions))


def excitation() -> Rule:
    """Excitation backprop: z⁺ without the bias, so that all is passed on (Zhang et al. 2016, eq. 5)."""
    terms = (Term("x+", "w+", "0"), Term("x-", "w-", "0"))
    return Rule("excitation", (Fraction(1.0, terms),))


def w_square() -> Rule:
    """w²: in proportion to the squared weights, whatever the inputs hold (Montavon et al. 2017, the w²-rule)."""
    return Rule("w2", (Fraction(1.0, (Term("ones", "w²", "0"),)),))


def flat() -> Rule:
    """Flat: evenly over all inputs of a unit, whatever they hold (Lapuschkin et al. 2019)."""
    return Rule("flat", (Fraction(1.0, (Term("ones", "ones", "0"),)),))


def box(low: float | tuple[float, ...], high: float | tuple[float, ...]) -> Rule:
    """z^B: for pixels between `low` and `high`, numbers or one for each channel (Montavon et al. 2017, the z^B-rule).

    Raises:
        RuleError: a bound is not finite, or a lower bound is not below its upper one.
    """
    try:
        lows, highs = (tuple(np.atleast_1d(np.asarray(bound, float)).tolist()) for bound in (low, high))
    except (TypeError, ValueError) as error:
        raise RuleError(f"the bounds of an input must be numbers, not {low!r} and {high!r}") from error
    if len(lows) != len(highs) or not np.isfinite([*lows, *highs]).all() or np.any(np.array(lows) >= np.array(highs)):
        raise RuleError(f"the bounds of an input must be finite and the lower below the upper, not {low} and {high}")
    terms = (Term("x", "w", "0"), Term("low", "w+", "0", -1), Term("high", "w-", "0", -1))
    return Rule("box", (Fraction(1.0, terms),), bounds=(lows, highs))


# Rules by the name that model.toml and the command line know, e.g. "gamma(0.25)".
RULES: dict[str, Callable[..., Rule]] = {
    "0": lrp_0,
    "epsilon": epsilon,
    "gamma": gamma,
    "z+": z_plus,
    "alpha-beta": alpha_beta,
    "excitation": excitation,
    "w2": w_square,
    "flat": flat,
    "box": box,
}


def parse_rule(text: str) -> Rule:
    """A rule written as its name, or its name with numbers: "flat", "epsilon(0.01)", "alpha-beta(2, 1)".

    Among the numbers may stand `relative` (epsilon: in units of the layer's scale), and for any rule `spread-bias` and
    `stabiliser 1e-9` (ε in its denominators).

    Raises:
        RuleError: no rule has that name, or the numbers do not fit it.
    """
    name, bracket, rest = text.strip().partition("(")
    if name.strip() not in RULES or (bracket and not rest.endswith(")")):
        raise RuleError(f"no rule is written {text!r}; there are {', '.join(RULES)}, with numbers as in epsilon(0.01)")
    try:
        words = [word.strip() for word in rest.removesuffix(")").split(",") if word.strip()]
        sizes = [float(word.removeprefix("stabiliser ")) for word in words if word.startswith("stabiliser ")]
        wanted = [word for word in words if not word.startswith("stabiliser ")]
        numbers = [float(word) for word in wanted if word not in ("relative", "spread-bias")]
        rule = RULES[name.strip()](*numbers, **{"relative": True} if "relative" in words else {})
        for size in sizes:
            rule = rule.stabilised_by(size)
        return rule.spreading_bias() if "spread-bias" in words else rule
    except (TypeError, ValueError) as error:
        raise RuleError(f"the numbers of {text!r} do not fit the rule: {error}") from error
