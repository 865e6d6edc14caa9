"""One picture's rows of a ledger."""

from dataclasses import dataclass

from rationale.lrp import Entry

_AMOUNTS = ("received", "passed_on", "bias", "stabiliser", "residual")


@dataclass(frozen=True)
class Account:
    """One layer's row in the conservation table, all amounts in units of the score."""

    layer: str
    type: str
    rule: str
    received: float
    passed_on: float
    bias: float
    stabiliser: float
    residual: float


def account_of(entry: Entry, number: int) -> Account:
    """One sample's row of a layer's account."""
    amounts = {name: float(getattr(entry, name)[number]) for name in _AMOUNTS}
    return Account(layer=entry.layer, type=entry.type, rule=entry.rule, **amounts)
