"""The relevance pass: from the score of a class down to the input, layer by layer."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.composites import LINEAR, Composite, get_composite
from rationale.lrp.layers import is_average_pooling, pass_on, passes_on, unsupported
from rationale.lrp.ledger import Amounts, Entry, Ledger, total
from rationale.lrp.linear import Absorbed, Workspace, propagate_linear
from rationale.lrp.pooling import propagate_average
from rationale.lrp.rules import STABILISER
from rationale.network import Network, Node

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Relevance(Mapping[str, Array]):
    """Relevance of a batch at every kept layer, float32 (N, C, H, W), by layer or input name.

    `scores` are f(x) of the targets, (N,); `targets` their classes, (N,); `outputs` all class scores, (N, classes).
    """

    layers: Mapping[str, Array]
    ledger: Ledger
    scores: Array
    targets: NDArray[np.int64]
    outputs: Array

    def __getitem__(self, name: str) -> Array:
        if name not in self.layers:
            raise KeyError(f"no relevance was kept at {name!r}; there is {', '.join(self.layers)}")
        return self.layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def channels(self, name: str) -> Array:
        """Relevance of each channel of a layer, signed, (N, C)."""
        array = self[name]
        return np.asarray(array.reshape(*array.shape[:2], -1).sum(axis=-1))


def propagate(
    network: Network,
    batch: Array,
    target: int | Sequence[int] | None = None,
    *,
    composite: str | Composite = "epsilon-plus-flat",
    target_layer: str | None = None,
    keep: Collection[str] | None = None,
) -> Relevance:
    """Explains the score of a class for each sample of a batch (Bach et al. 2015).

    Relevance starts as the pre-softmax score f(x) of the target and is redistributed layer by layer; its sum is
    conserved but for what biases and stabilisers absorb, which the ledger lists.

    Args:
        network: the classifier.
        batch: float32 (N, C, H, W), already preprocessed.
        target: class to explain, one for all or one for each sample; the highest score where None.
        composite: which rule for which layer.
        target_layer: layer of the class scores; found by itself under a Softmax or where the network has one output.
        keep: names of the layers and inputs whose relevance is returned; all where None.

    Raises:
        NetworkError: the batch does not fit, or a layer does not exist.
        RuleError: an unknown composite, a target that does not exist, or a layer without a rule.
    """
    rules = get_composite(composite)
    start = network.graph.node(target_layer) if target_layer else network.graph.score_node()
    names = _names_to_keep(network, start, keep)
    network.forward(batch)
    outputs = network.data(start.tops[0]).copy()
    targets = _check_targets(target, outputs, start)
    seed = np.zeros_like(outputs)
    rows = np.arange(len(outputs))
    spots = outputs.reshape(len(outputs), outputs.shape[1], -1).shape[2]
    if spots != 1:
        raise RuleError(f"layer {start.name!r} gives {spots} scores a class; class scores are one number each")
    flat = seed.reshape(len(seed), -1)
    flat[rows, targets] = outputs.reshape(len(outputs), -1)[rows, targets]
    scores = flat[rows, targets].copy()
    layers, entries = _run(network, start, seed, rules, names)
    ledger = Ledger(entries, scores.astype(np.float64))
    return Relevance(layers, ledger, scores, targets, outputs.reshape(len(outputs), -1))


def _check_targets(target: int | Sequence[int] | None, outputs: Array, start: Node) -> NDArray[np.int64]:
    count, classes = outputs.shape[:2]
    if target is None:
        return np.asarray(outputs.reshape(count, classes, -1)[:, :, 0].argmax(axis=1), dtype=np.int64)
    wanted = np.atleast_1d(np.asarray(target))
    if wanted.dtype.kind not in "iu" or wanted.ndim != 1 or len(wanted) not in (1, count):
        raise RuleError(f"target must be one class number, or one for each of the {count} samples")
    if wanted.min() < 0 or wanted.max() >= classes:
        raise RuleError(
            f"target {wanted.tolist()} is out of range: layer {start.name!r} has classes 0 to {classes - 1}"
        )
    return np.broadcast_to(wanted, count).astype(np.int64)


def _names_to_keep(network: Network, start: Node, keep: Collection[str] | None) -> dict[str, int]:
    """Blob index by name, from the score layer down, of every layer and input whose relevance is kept."""
    reached = network.graph.below(start)
    offered = {node.name: node.tops[0] for node in reversed(reached) if node.parameter is not None and node.tops}
    offered |= {network.graph.blob_names[blob]: blob for node in reached if node.type == "Input" for blob in node.tops}
    if keep is None:
        return offered
    unknown = [name for name in keep if name not in offered]
    if unknown:
        raise RuleError(f"relevance does not reach {', '.join(unknown)}; it reaches {', '.join(offered)}")
    return {name: offered[name] for name in offered if name in keep}


def _run(
    network: Network, start: Node, seed: Array, rules: Composite, names: Mapping[str, int]
) -> tuple[dict[str, Array], list[Entry]]:
    """Walks down from `start`; returns the kept relevance and the accounts."""
    space = _workspace(network)
    kept: dict[str, Array] = {}
    entries: list[Entry] = []
    sums: dict[int, Amounts] = {start.tops[0]: total(seed)}
    loose: set[int] = set()  # blobs whose relevance may sit where the activation is zero
    with network.backward_from(start, seed) as path:
        lowest = _lowest_linear(path)
        for node in reversed(path):
            _keep(network, node, names, kept)
            if node.type == "Input":
                continue
            rule, absorbed = _step(space, node, rules, node.index in lowest, loose)
            if node.in_place or node.type == "Split":
                if node.type == "Split":
                    sums[node.bottoms[0]] = total(network.diff(node.bottoms[0]))
                continue
            received = sum((sums[blob] for blob in node.tops if blob in sums), np.zeros(len(seed)))
            for blob in node.bottoms:
                sums[blob] = total(network.diff(blob))
            passed = sum((sums[blob] for blob in node.bottoms), np.zeros(len(seed)))
            entries.append(Entry(node.name, node.type, rule, received, passed, absorbed.bias, absorbed.stabiliser))
    return kept, entries


def _keep(network: Network, node: Node, names: Mapping[str, int], kept: dict[str, Array]) -> None:
    wanted = [node.name, *(network.graph.blob_names[blob] for blob in node.tops if node.type == "Input")]
    for name in wanted:
        if name in names and name not in kept:
            kept[name] = network.diff(names[name]).copy()


def _step(space: Workspace, node: Node, rules: Composite, lowest: bool, loose: set[int]) -> tuple[str, Absorbed]:
    """Moves relevance through one layer; returns the rule's name and what the layer absorbed."""
    network = space.network
    nothing = Absorbed(np.zeros(len(network.diff(node.tops[0]))), np.zeros(len(network.diff(node.tops[0]))))
    if node.type in LINEAR:
        rule = rules.rule_for(node.name, node.type, lowest)
        stored = node.tops[0] not in loose or not _is_overwritten(network, node)
        if not rule.follows_activation:
            loose.add(node.bottoms[0])
        return rule.name, propagate_linear(space, node, rule, output_is_stored=stored)
    if loose & set(node.tops):
        loose.update(node.bottoms)
    if passes_on(node):
        pass_on(network, node)
        return "pass", nothing
    if is_average_pooling(node):
        return "epsilon", propagate_average(space, node, STABILISER)
    raise unsupported(node)


def _is_overwritten(network: Network, node: Node) -> bool:
    return any(later.in_place and later.bottoms == node.tops for later in network.graph.nodes[node.index + 1 :])


def _lowest_linear(path: list[Node]) -> set[int]:
    """Indices of the linear layers with no linear layer below them."""
    below: set[int] = set()  # blobs that depend on a linear layer
    lowest = set()
    for node in path:
        depends = bool(below & set(node.bottoms))
        if node.type in LINEAR:
            if not depends:
                lowest.add(node.index)
            depends = True
        if depends:
            below.update(node.tops)
    return lowest


def _workspace(network: Network) -> Workspace:
    """The network's workspace, made at its first pass; weights must not change afterwards."""
    space = network.derived.setdefault("relevance workspace", Workspace(network))
    assert isinstance(space, Workspace)
    return space
