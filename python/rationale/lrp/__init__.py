"""Layer-wise relevance propagation: rules, composites, the backward pass and its ledger."""

from rationale.lrp.backward import Relevance, propagate
from rationale.lrp.composites import COMPOSITES, Composite
from rationale.lrp.ledger import Entry, Ledger

__all__ = ["COMPOSITES", "Composite", "Entry", "Ledger", "Relevance", "propagate"]
