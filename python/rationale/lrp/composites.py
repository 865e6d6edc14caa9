"""Composites: which rule for which layer, by name, pattern or type."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from rationale.errors import RuleError
from rationale.lrp.rules import Rule, alpha_beta, box, epsilon, excitation, flat, gamma, lrp_0, parse_rule, z_plus

CONVOLUTIONS = ("Convolution", "Deconvolution")
LINEAR = (*CONVOLUTIONS, "InnerProduct")
JOINS = ("Pooling", "Eltwise")

Bounds = tuple[float | tuple[float, ...], float | tuple[float, ...]]


@dataclass(frozen=True)
class Composite:
    """Maps linear layers, pools and sums to rules.

    Attributes:
        name: as reports show it.
        by_type: rule for each layer type. Without one for Pooling or Eltwise, average pools and sums follow the
            ε-rule of the layers with weights (`default_join`).
        lowest: rule for the linear layers that read the input, if it is another; it goes before the layer's type.
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
    wanted_types: frozenset[str] = frozenset()  # types that a user named: one must be there
    changes: Mapping[str, str] = field(default_factory=dict)  # what `with_layers` changed, for the name

    def __post_init__(self) -> None:
        """Takes rules as text, too.

        Raises:
            RuleError: a rule is not understood, or a type has no weights.
        """
        for name in ("by_type", "by_name"):
            object.__setattr__(self, name, {key: _rule(key, rule) for key, rule in getattr(self, name).items()})
        if self.lowest is not None:
            object.__setattr__(self, "lowest", _rule("lowest", self.lowest))
        for type_ in self.by_type:
            if type_ not in (*LINEAR, *JOINS):
                types = ", ".join((*LINEAR, *JOINS))
                raise RuleError(f"composite {self.name!r}: no rule is needed for {type_!r}; types are {types}")

    def rule_for(self, name: str, type_: str, lowest: bool) -> Rule:
        """The rule for a linear layer.

        Raises:
            RuleError: the composite says nothing about that layer.
        """
        if named := self._named(name):
            return named
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

    def join_rule_for(self, name: str, type_: str) -> Rule | None:
        """The rule that was given to a pool or sum, if one was."""
        return self._named(name) or self.by_type.get(type_)

    @property
    def default_join(self) -> Rule:
        """The rule of average pools, sums and embeddings to which none was given.

        It is that of the dense layers or else of the convolutions, if that is an ε-rule; αβ would multiply relevance
        by α where nothing lowers the sum.
        """
        rules = [self.by_type[type_] for type_ in ("InnerProduct", *CONVOLUTIONS) if type_ in self.by_type]
        return next((rule for rule in rules if rule.is_epsilon), epsilon())

    def _named(self, name: str) -> Rule | None:
        return next((rule for pattern, rule in self.by_name.items() if fnmatchcase(name, pattern)), None)

    def with_bounds(self, bounds: Bounds | None) -> "Composite":
        """The composite for inputs between these bounds, where that matters."""
        if not self.needs_bounds or bounds is None or self.lowest is not None:
            return self
        if not isinstance(bounds, tuple | list) or len(bounds) != 2:
            raise RuleError(f"the bounds of an input are a lower and an upper one, not {bounds!r}")
        return replace(self, lowest=box(*bounds))

    def with_layers(self, rules: Mapping[str, Rule | str]) -> "Composite":
        """The composite with other rules for some layers.

        Args:
            rules: rule, or its text ("gamma(0.25)"), for each layer name, pattern, type ("type:Convolution"), or
                "lowest", the layers that read the input. Names and patterns go first, then "lowest", then types; of
                two rules for the same key the later one counts.

        Raises:
            RuleError: a rule's text is not understood, or a type has no weights.
        """
        parsed = {key: _rule(key, rule) for key, rule in rules.items()}
        types = {key.removeprefix("type:"): rule for key, rule in parsed.items() if key.startswith("type:")}
        names = {key: rule for key, rule in parsed.items() if not key.startswith("type:") and key != "lowest"}
        changes = {**self.changes, **{key: rule.name for key, rule in parsed.items()}}
        base = self.name.split(" with ")[0]
        return replace(
            self,
            name=f"{base} with {', '.join(f'{key}: {rule}' for key, rule in changes.items())}",
            by_type={**self.by_type, **types},
            lowest=parsed.get("lowest", self.lowest),
            by_name={**names, **{key: rule for key, rule in self.by_name.items() if key not in names}},
            needs_bounds=self.needs_bounds and "lowest" not in parsed,
            wanted_types=self.wanted_types | set(types),
            changes=changes,
        )

    def check_fits(self, layers: Mapping[str, str]) -> None:
        """Refuses names and patterns that fit none of a network's layers that take rules (type by name).

        Raises:
            RuleError: one does not.
        """
        for pattern in self.by_name:
            if not any(fnmatchcase(name, pattern) for name in layers):
                known = ", ".join(layers)
                raise RuleError(f"composite {self.name!r}: {pattern!r} fits no layer that takes a rule: {known}")
        for type_ in sorted(self.wanted_types - set(layers.values())):
            raise RuleError(f"composite {self.name!r}: the network has no layer of type {type_!r}")


def _rule(key: str, rule: object) -> Rule:
    """A rule, or what its text says.

    Raises:
        RuleError: it is neither.
    """
    if isinstance(rule, str):
        return parse_rule(rule)
    if not isinstance(rule, Rule):
        raise RuleError(f"the rule for {key!r} must be a rule or its text, not {rule!r}")
    return rule


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
