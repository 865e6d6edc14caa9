"""The top of a network: which layer holds the scores, and what the layers above it make of them.

Relevance starts at the scores before anything squashes them, for a probability of 0.27 says nothing of the evidence
against: Softmax, Sigmoid, TanH and their like never change which of two inputs is higher. What the network says is read
at its end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Literal, get_args

from rationale.errors import NetworkError
from rationale.network.kinds import kind, measures_only

if TYPE_CHECKING:
    from rationale.network.graph import Graph, Node

# Probabilities of which one is true, by a Softmax; probabilities each of its own, by a Sigmoid; or none.
Meaning = Literal["classes", "labels", "values"]
MEANINGS = get_args(Meaning)


@dataclass(frozen=True)
class Head:
    """One output of a network.

    Attributes:
        score: the layer of the scores, at which relevance starts.
        above: the layers over it, bottom to top.
        under: the layers under it down to the first that mixes values, top to bottom.
        probability: the Softmax or Sigmoid among those above, if there is one.
    """

    score: "Node"
    above: tuple["Node", ...]
    under: tuple["Node", ...]
    probability: "Node | None"

    @property
    def meaning(self) -> str:
        """What the numbers at the end are: one of MEANINGS."""
        return "values" if self.probability is None else kind(self.probability.type).probabilities

    @property
    def value(self) -> "Node":
        """The topmost layer that puts out more than which value is the highest."""
        return next((node for node in reversed(self.above) if not kind(node.type).picks), self.score)

    @property
    def end(self) -> "Node":
        """The topmost layer."""
        return self.above[-1] if self.above else self.score


def find_heads(graph: "Graph") -> tuple[Head, ...]:
    """The outputs of a network, losses aside; what goes to a Silence layer is one only where nothing else is."""
    aside: set[int] = set()  # what is made of scores only to be measured
    for node in reversed(graph.nodes):
        over = [reader.index for blob in node.tops for reader in graph.readers(blob)]
        if measures_only(node.type) or (node.parameter is None and over and set(over) <= aside):
            aside.add(node.index)
    readers = [node for node in graph.nodes if node.type != "Silence" and node.index not in aside]
    read = {blob for node in readers for blob in node.bottoms if not node.in_place}
    silenced = {blob for node in graph.nodes if node.type == "Silence" for blob in node.bottoms}
    ends = [node for node in readers if node.tops and not set(node.tops) & read and node.bottoms]
    ends = [node for node in ends if not any(_replaces(later, node) for later in ends)]
    heard = [node for node in ends if not set(node.tops) & silenced]
    return tuple(_head(graph, node) for node in heard or ends)


def the_head(heads: Sequence[Head]) -> Head:
    """The one that holds class scores: that with a Softmax, or the only one.

    Raises:
        NetworkError: there are several, or none.
    """
    candidates = [head for head in heads if head.meaning == "classes"] or list(heads)
    if len({head.score.index for head in candidates}) != 1:
        names = ", ".join(head.end.name for head in candidates) or "none"
        raise NetworkError(f"which layer holds the class scores? outputs: {names}; name the target layer")
    return next((head for head in candidates if head.meaning != "values"), candidates[0])


def _replaces(later: "Node", node: "Node") -> bool:
    return later.in_place and later.tops == node.tops and later.index > node.index


def _head(graph: "Graph", end: "Node") -> Head:
    chain = _chain(graph, end)  # top to bottom; all but the last may stand over scores
    over = chain[:-1]
    squashing = [place for place, node in enumerate(over) if node.rises and not _is_affine(node)]
    start = squashing[-1] + 1 if squashing else 0
    while start < len(over) and (kind(chain[start].type).hands_on or kind(chain[start].type).picks):
        start += 1
    above = chain[:start]
    probability = next((node for node in above if kind(node.type).probabilities), None)
    return Head(chain[start], tuple(reversed(above)), tuple(chain[start + 1 :]), probability)


def _chain(graph: "Graph", end: "Node") -> list["Node"]:
    """The layers from the end down to the first that does more than squash or hand on the values of another."""
    chain = [end]
    while True:
        node = chain[-1]
        below = graph.maker(node.bottoms[0], before=node.index) if len(node.bottoms) == 1 else None
        if below is None or not _leaves_order(node, below):
            return chain
        chain.append(below)


def _leaves_order(node: "Node", below: "Node") -> bool:
    """Whether the higher of two scores stays the higher, and scores can still be told apart by class."""
    known = kind(node.type)
    if not below.bottoms:
        return False
    one_each = len(below.shape) > 1 and prod(below.shape[1:]) == below.shape[1]
    if known.hands_on:
        return node.type in ("Dropout", "Split") or one_each
    is_flat = node.parameter is not None and known.flat(node.parameter)
    return (node.rises and (one_each or not is_flat)) or known.picks


def _is_affine(node: "Node") -> bool:
    return node.parameter is not None and kind(node.type).affine(node.parameter)
