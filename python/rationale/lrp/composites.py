"""Composites: which rule for which layer, by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rationale.errors import RuleError
from rationale.lrp.rules import Rule, alpha_beta, epsilon, flat, z_plus

CONVOLUTIONS = ("Convolution", "Deconvolution")
LINEAR = (*CONVOLUTIONS, "InnerProduct")


@dataclass(frozen=True)
class Composite:
    """Maps layers to rules: `lowest` for the linear layers that read the input, else by the layer's type."""

    name: str
    by_type: Mapping[str, Rule] = field(default_factory=dict)
    lowest: Rule | None = None

    def rule_for(self, name: str, type_: str, lowest: bool) -> Rule:
        """The rule for a linear layer.

        Raises:
            RuleError: the composite says nothing about that type.
        """
        if lowest and self.lowest is not None:
            return self.lowest
        if type_ not in self.by_type:
            raise RuleError(f"composite {self.name!r} has no rule for layer {name!r} ({type_})")
        return self.by_type[type_]


def _composite(name: str, convolution: Rule, lowest: Rule | None = None) -> Composite:
    """ε for dense layers, `convolution` for convolutions, `lowest` for the first linear layer."""
    by_type = {**dict.fromkeys(CONVOLUTIONS, convolution), "InnerProduct": epsilon()}
    return Composite(name, by_type, lowest)


# Kohlbrenner et al. 2020 ("Towards best practice in explaining neural network decisions with LRP") compare these.
COMPOSITES: dict[str, Composite] = {
    composite.name: composite
    for composite in (
        _composite("epsilon", epsilon()),
        _composite("epsilon-plus", z_plus()),
        _composite("epsilon-plus-flat", z_plus(), lowest=flat()),
        _composite("epsilon-alpha2-beta1-flat", alpha_beta(2, 1), lowest=flat()),
    )
}


def get_composite(composite: str | Composite) -> Composite:
    """The composite of that name, or the one given.

    Raises:
        RuleError: no composite has that name.
    """
    if isinstance(composite, Composite):
        return composite
    if composite not in COMPOSITES:
        raise RuleError(f"no composite is named {composite!r}; there are {', '.join(COMPOSITES)}")
    return COMPOSITES[composite]
