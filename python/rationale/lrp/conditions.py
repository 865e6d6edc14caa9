"""Relevance that passes through chosen channels of chosen layers (Achtibat et al. 2022)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.walk import Channels, Walk
from rationale.network import Network, Node

Array = NDArray[np.float32]
Condition = Mapping[str, int | Collection[int]]  # channels by layer name


@dataclass(frozen=True)
class Passage:
    """A condition on a network: its layers, from the top down, with the channels of each by name."""

    layers: tuple[Node, ...]
    masks: Mapping[str, Channels]


def passage(network: Network, start: Node, condition: Condition) -> Passage:
    """Checks a condition on what comes from the output of `start`.

    Raises:
        RuleError: a layer or channel does not exist, has several outputs, or lies beside another that is named.
    """
    reached = {node.name: node for node in network.graph.below(start) if node.parameter is not None}
    masks = {}
    for name, channels in condition.items():
        name = network.graph.aliases.get(name, name)
        numbers = np.atleast_1d(np.asarray(channels if isinstance(channels, int | np.integer) else list(channels)))
        if name not in reached:
            raise RuleError(f"a condition names {name!r}, which relevance does not reach from {start.name!r}")
        if len(reached[name].tops) > 1:
            raise RuleError(f"a condition names {name!r}, which has several outputs: name a layer that reads one")
        count = network.shape(name)[1]
        if numbers.size == 0 or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= count:
            raise RuleError(f"a condition names channels {numbers.tolist()} of {name!r}, which has 0 to {count - 1}")
        masks[name] = numbers
    if not masks:
        raise RuleError("a condition names no layer")
    ordered = sorted((reached[name] for name in masks), key=lambda node: -node.index)
    for upper, lower in pairwise(ordered):
        if lower not in network.graph.below(upper):
            raise RuleError(f"nothing passes through both {upper.name!r} and {lower.name!r}, which lie side by side")
    return Passage(tuple(ordered), masks)


def passing_through(walk: Walk, passage: Passage) -> Mapping[str, Array]:
    """Relevance at the inputs of what passes there; the walk kept it at the topmost layer as a checkpoint."""
    network = walk.network
    relevance = walk.checkpoints[passage.layers[0].name]
    for upper, lower in pairwise(passage.layers):  # only what arrives there goes on, not what passes by it
        between = Walk(walk.facts, walk.rules, {}, masks=passage.masks, above=walk)
        between.walk(upper, relevance, until=lower, by_activation=not walk.is_loose(upper))
        relevance = walk.space.diff(lower.tops[0]).copy()
    inputs = {network.graph.blob_names[blob]: blob for blob in network.net._inputs}
    below = Walk(walk.facts, walk.rules, inputs, masks=passage.masks, above=walk)
    below.walk(passage.layers[-1], relevance, by_activation=not walk.is_loose(passage.layers[-1]))
    return below.kept
