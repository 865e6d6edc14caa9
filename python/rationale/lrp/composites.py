"""Composites: which rule for which layer, by name, pattern or type."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from rationale.errors import RuleError
from rationale.lrp.rules import Rule, alpha_beta, box, epsilon, excitation, flat, gamma, lrp_0, parse_rule, z_plus

CONVOLUTIONS = ("Convolution", "Deconvolution")
LINEAR = (*CONVOLUTIONS, "InnerProduct")

Bounds = tuple[float | tuple[float, ...], float | tuple[float, ...]]


@dataclass(frozen=True)
class Composite:
    """Maps linear layers to rules.

    Attributes:
        name: as reports show it.
        by_type: rule for each layer type.
        lowest: rule for the linear layers that read the input, if it is another.
        by_name: rule for each layer name or pattern ("conv1_*"); the first that fits goes before all else.
        starts_with: what the target's relevance is at the start: "score", f(x), or "one".
        needs_bounds: the lowest layer wants z^B, with the bounds of the network's input.
    """

    name: str
    by_type: Mapping[str, Rule] = field(default_factory=dict)
    lowest: Rule | None = None
    by_name: Mapping[str, Rule] = field(default_factory=dict)
    starts_with: str = "score"
    needs_bounds: bool = False

    def rule_for(self, name: str, type_: str, lowest: bool) -> Rule:
        """The rule for a linear layer.

        Raises:
            RuleError: the composite says nothing about that layer.
        """
        for pattern, rule in self.by_name.items():
            if fnmatchcase(name, pattern):
                return rule
        if lowest and self.needs_bounds and self.lowest is None:
            raise RuleError(
                f"composite {self.name!r} wants the least and greatest value of the input: give `bounds`, "
                "or lrp.bounds in the model's model.toml"
            )
        if lowest and self.lowest is not None:
            return self.lowest
        if type_ not in self.by_type:
            raise RuleError(f"composite {self.name!r} has no rule for layer {name!r} ({type_})")
        return self.by_type[type_]

    def with_bounds(self, bounds: Bounds | None) -> "Composite":
        """The composite for inputs between these bounds, where that matters."""
        if not self.needs_bounds or bounds is None:
            return self
        return Composite(self.name, self.by_type, box(*bounds), self.by_name, self.starts_with, needs_bounds=True)

    def with_layers(self, rules: Mapping[str, Rule | str]) -> "Composite":
        """The composite with other rules for some layers.

        Args:
            rules: rule, or its text ("gamma(0.25)"), for each layer name, pattern, or type ("type:Convolution").

        Raises:
            RuleError: a rule's text is not understood.
        """
        parsed = {key: parse_rule(rule) if isinstance(rule, str) else rule for key, rule in rules.items()}
        types = {key.removeprefix("type:"): rule for key, rule in parsed.items() if key.startswith("type:")}
        names = {key: rule for key, rule in parsed.items() if not key.startswith("type:")}
        return Composite(
            f"{self.name} with {', '.join(f'{key}: {rule.name}' for key, rule in parsed.items())}",
            {**self.by_type, **types},
            self.lowest,
            {**names, **self.by_name},
            self.starts_with,
            self.needs_bounds,
        )

    def check_fits(self, layers: Mapping[str, str]) -> None:
        """Refuses names and patterns that fit none of the linear layers (type by name) of a network.

        Raises:
            RuleError: one does not.
        """
        for pattern in self.by_name:
            if not any(fnmatchcase(name, pattern) for name in layers):
                raise RuleError(
                    f"composite {self.name!r}: {pattern!r} fits no layer with weights; there are {', '.join(layers)}"
                )


def _composite(name: str, convolution: Rule, dense: Rule | None = None, **more: object) -> Composite:
    """ε for dense layers unless said otherwise, `convolution` for convolutions."""
    by_type = {**dict.fromkeys(CONVOLUTIONS, convolution), "InnerProduct": dense or epsilon()}
    return Composite(name, by_type, **more)  # type: ignore[arg-type]


# Kohlbrenner et al. 2020 ("Towards best practice in explaining neural network decisions with LRP") compare the first
# seven; Zhang et al. 2016 is the last.
COMPOSITES: dict[str, Composite] = {
    composite.name: composite
    for composite in (
        _composite("lrp-0", lrp_0(), lrp_0()),
        _composite("epsilon", epsilon()),
        _composite("epsilon-plus", z_plus()),
        _composite("epsilon-plus-flat", z_plus(), lowest=flat()),
        _composite("epsilon-gamma-box", gamma(0.25), needs_bounds=True),
        _composite("epsilon-alpha2-beta1", alpha_beta(2, 1)),
        _composite("epsilon-alpha2-beta1-flat", alpha_beta(2, 1), lowest=flat()),
        _composite("alpha1-beta0", alpha_beta(1, 0), alpha_beta(1, 0)),
        _composite("excitation-backprop", excitation(), excitation(), starts_with="one"),
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
