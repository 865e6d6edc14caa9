"""Layer-wise relevance propagation: rules, composites, the backward pass and its ledger."""

from rationale.lrp.backward import Relevance, propagate
from rationale.lrp.composites import COMPOSITES, Composite
from rationale.lrp.forward import Forward
from rationale.lrp.ledger import Entry, Ledger
from rationale.lrp.start import ClassScore, RelevanceAt, UnitActivation

__all__ = [
    "COMPOSITES",
    "ClassScore",
    "Composite",
    "Entry",
    "Forward",
    "Ledger",
    "Relevance",
    "RelevanceAt",
    "UnitActivation",
    "propagate",
]
