"""What units did in one decision: ranked by relevance, each with its own heatmap, and with the units below it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rationale.errors import OptionError
from rationale.explanation import Explanation, UnitEvidence
from rationale.lrp import Relevance, propagate
from rationale.lrp.composites import Composite
from rationale.lrp.start import RelevanceAt
from rationale.model import Model
from rationale.network import kind
from rationale.units.layers import maps_of, unit_layers
from rationale.units.store import Store, Unit, store_path

Array = NDArray[np.float32]

COUNT, BELOW = 4, 3  # channels shown of a layer, and of the one below for each
_CROPS = 4


def with_units(
    model: Model,
    explanation: Explanation,
    *,
    layers: Sequence[str] | None = None,
    count: int = COUNT,
    below: int = BELOW,
    composite: str | Composite | None = None,
    store: Store | None = None,
) -> Explanation:
    """The explanation with what units did: for each layer the channels with the most relevance, each with a heatmap of
    what spoke through it, and the channels of the next layer named through which that came.

    A channel's relevance is followed down by itself (conditional relevance: Achtibat et al. 2022), so that the heatmaps
    of all channels of a layer sum to what passes through it.

    Args:
        model: that made the explanation.
        explanation: of one class, or of one against another.
        layers: from the score downwards; the topmost with maps and one halfway down where None.
        count: channels of each layer, by the magnitude of their relevance.
        below: channels of the next layer for each.
        composite: of the explanation; the model's own where None.
        store: what is known of the units.

    Raises:
        OptionError: no such layer, or no relevance reaches it.
    """
    names = list(layers) if layers is not None else default_layers(model, store)
    rules = model.composite(composite)
    relevance = model.relevance(
        [explanation.image], explanation.target_index, against=explanation.against_index, composite=rules
    )
    graph = model.network.graph
    nodes = {graph.node(name).index: graph.node(name).name for name in names if _reached(relevance, name)}
    wanted = [nodes[index] for index in sorted(nodes, reverse=True)]
    if missing := [name for name in names if not _reached(relevance, name)]:
        raise OptionError(f"no relevance reaches layer {missing[0]!r}; it reaches {', '.join(relevance)}")
    activations = {name: maps_of(model.network.activation(name))[0].max(axis=(1, 2)) for name in wanted}
    walker = _Walker(model, relevance, rules, activations, explanation.score, store)
    found = {}
    for place, layer in enumerate(wanted):
        lower = wanted[place + 1] if place + 1 < len(wanted) else None
        found[layer] = walker.strongest(layer, relevance[layer], count, lower, below)
    settings = dict(explanation.settings)
    if store is not None:
        settings["pictures of units"] = store.source
    return replace(explanation, unit_evidence=found, settings=settings)


def store_if_there(model: Model) -> Store | None:
    """The model's store, or None where none was made; units can be ranked without one.

    Raises:
        DataError: it is damaged.
    """
    path = store_path(model)
    return Store.open(path, model) if path.is_file() else None


def default_layers(model: Model, store: Store | None) -> list[str]:
    """The topmost layer with maps, and one about halfway down; of those that the store knows, if it is given."""
    network = model.network
    graph = network.graph
    under = graph.below(graph.score_node(model.target_layer))
    order = {node.name: node for node in under}
    known = [name for name in unit_layers(network) if store is None or name in store.layers]
    maps = [
        name
        for name in known
        if name in order
        and len(network.shape(name)) == 4
        and np.prod(network.shape(name)[2:]) > 1
        and network.shape(name)[1] != len(model.labels)
        and (kind(order[name].type).convolves or kind(order[name].type).joins)
    ]
    maps = [name for name in maps if kind(order[name].type).joins] or maps  # what joins branches holds them
    if not maps:
        return known[-1:] or unit_layers(network)[-1:]
    return list(dict.fromkeys([maps[-1], maps[max(0, len(maps) // 2 - 1)]]))


def _reached(relevance: Relevance, name: str) -> bool:
    return name in relevance or name in relevance.aliases


class _Walker:
    """Follows channels down from one forward pass."""

    def __init__(
        self,
        model: Model,
        relevance: Relevance,
        rules: Composite,
        activations: dict[str, Array],
        score: float,
        store: Store | None,
    ) -> None:
        self._model, self._relevance, self._activations, self._store = model, relevance, activations, store
        self._rules = rules
        self._unit = 1 / abs(score) if score else 0.0
        (self._input,) = model.network.inputs

    def strongest(self, layer: str, arriving: Array, count: int, lower: str | None, below: int) -> list[UnitEvidence]:
        """The channels of a layer with the most of the relevance that arrives there, (1, C, …)."""
        totals = arriving.reshape(arriving.shape[1], -1).sum(axis=1)
        chosen = [int(each) for each in np.argsort(-np.abs(totals), kind="stable")[:count] if totals[each] != 0]
        if not chosen:
            return []
        seeds = []
        for number in chosen:
            seed = np.zeros_like(arriving)
            seed[:, number] = arriving[:, number]
            seeds.append(RelevanceAt(layer, seed))
        keep = [self._input, *([lower] if lower is not None and self._lies_below(layer, lower) else [])]
        passed = propagate(
            self._model.network,
            self._relevance.forward,
            start=seeds,
            composite=self._rules,
            bounds=self._model.bounds,
            keep=keep,
        )
        known = self._known(layer, chosen)
        found = []
        for number, through in zip(chosen, passed, strict=True):
            unit = UnitEvidence(
                layer=layer,
                number=number,
                relevance=float(totals[number]),
                share=float(totals[number]) * self._unit,
                activation=float(self._activations[layer][number]),
                heatmap=through[self._input][0].sum(axis=0),
            )
            if number in known:
                unit = _with_knowledge(unit, known[number])
            if lower is not None and lower in keep and below:
                unit = replace(unit, below=self.strongest(lower, through[lower], below, None, 0))
            found.append(unit)
        return found

    def _lies_below(self, layer: str, lower: str) -> bool:
        graph = self._model.network.graph
        return graph.node(lower) in graph.below(graph.node(layer)) and lower != layer

    def _known(self, layer: str, numbers: Sequence[int]) -> dict[int, Unit]:
        if self._store is None or layer not in self._store.layers:
            return {}
        return dict(zip(numbers, self._store.units(layer, numbers), strict=True))


def _with_knowledge(unit: UnitEvidence, known: Unit) -> UnitEvidence:
    crops = [each.crop for each in known.examples.get("top", ())[:_CROPS] if each.crop is not None]
    made = [each for each in known.stimuli if each.sign > 0]
    best = max(made, key=lambda each: each.activation).picture if made else None
    return replace(unit, name=known.name, evidence=known.evidence, crops=crops, stimulus=best)
