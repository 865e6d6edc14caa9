"""One walk of relevance down the graph, from the output of a layer to the inputs, after a forward pass."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.composites import Composite
from rationale.lrp.handlers import Placed, Visit, move
from rationale.lrp.layers import lowest_linear, signals
from rationale.lrp.ledger import Amounts, Entry
from rationale.lrp.linear import Known, Passed
from rationale.lrp.signs import Signs
from rationale.lrp.workspace import Workspace
from rationale.network import Node

Array = NDArray[np.float32]
Channels = NDArray[np.int64]


@dataclass(frozen=True)
class Facts:
    """What all walks after one forward pass share: which blobs hold nothing negative, and which were overwritten."""

    space: Workspace
    signs: Signs
    overwritten: frozenset[int]

    @classmethod
    def of(cls, space: Workspace) -> Self:
        """Looks at the last forward pass of the workspace's network."""
        return cls(space, space.signs(), space.overwritten)


class Walk:
    """Relevance on its way down.

    Attributes:
        kept: relevance of the layers asked for, by name.
        checkpoints: relevance at layers from which other walks will start.
        entries: the accounts of the layers passed.
        total: relevance that it began with, (N,).
    """

    def __init__(
        self,
        facts: Facts,
        rules: Composite,
        names: Mapping[str, int],
        *,
        checkpoints: Collection[str] = (),
        masks: Mapping[str, Channels] | None = None,
        above: "Walk | None" = None,
    ) -> None:
        """Of layers and inputs in `names` (blob by name) relevance is kept; of masked layers only channels go on.

        A walk that starts inside another one, `above`, knows from it where relevance may sit.
        """
        self.facts = facts
        self.rules = rules
        self.space = facts.space
        self.network = facts.space.network
        self.kernels = facts.space.kernels
        self.kept: dict[str, Array] = {}
        self.checkpoints: dict[str, Array] = {}
        self.entries: list[Entry] = []
        self._names = names
        self._wanted_checkpoints = checkpoints
        self._masks = masks or {}
        self._sums: dict[int, Amounts] = {}  # relevance that blobs hold
        # Blobs whose relevance may sit where the activation is zero, those whose relevance no rule has yet brought in
        # line with activations, and those that relevance does not reach.
        self._loose: set[int] = set(above._loose) if above else set()
        self._blind: set[int] = set(above._blind) if above else set()
        self._silent: set[int] = set()

    def walk(self, start: Node, seed: Array, until: Node | None = None, *, by_activation: bool = False) -> None:
        """Walks down from the output of `start`, where relevance is `seed`; to the output of `until`, if given.

        `by_activation`: the seed is known to be zero where the activation is.
        """
        (top,) = start.tops
        self._samples, self._nothing = len(seed), self.kernels.nothing(len(seed))
        if not by_activation and self.kernels.meets_zero(seed, self.space.data(top)):
            self._loose.add(top)
        with self.network.backward_from(start, seed) as path:
            self.total = self._sums[top] = self.kernels.total(self.space.diff(top))
            self._lowest = lowest_linear(path)
            for node in reversed(path):
                if until is not None and node.index <= until.index:
                    break
                self._mask(node)
                self._keep(node)
                if node.type != "Input":
                    self._visit(node)

    def is_loose(self, node: Node) -> bool:
        """Whether relevance that came to the layer's output may sit where its activation is zero."""
        return bool(self._loose & set(node.tops))

    def _mask(self, node: Node) -> None:
        """Lets only the relevance of the masked layers' chosen channels go on."""
        if node.name not in self._masks:
            return
        relevance = self.space.diff(node.tops[0])
        self.kernels.keep_channels(relevance, self._masks[node.name])
        self._sums[node.tops[0]] = self.kernels.total(relevance)

    def _keep(self, node: Node) -> None:
        """Copies the relevance of a layer whose name is asked for, before the layer spends it."""
        if node.name in self._wanted_checkpoints:
            self.checkpoints[node.name] = self.space.diff(node.tops[0]).copy()
        several = len(node.tops) > 1 or node.type == "Input"
        wanted = [node.name, *(self.network.graph.blob_names[blob] for blob in node.tops if several)]
        for name in wanted:
            if name in self._names and name not in self.kept:
                self.kept[name] = self.space.diff(self._names[name]).copy()

    def _visit(self, node: Node) -> None:
        """Moves relevance through a layer and writes its account."""
        receivers = signals(node)
        self._silence(set(node.bottoms) - set(receivers))
        if self._silent.issuperset(node.tops):
            self._silence(set(node.bottoms))
            return
        self._check_samples(node, receivers)
        received = sum((self._sums[blob] for blob in node.tops if blob in self._sums), self._nothing)
        rule, passed = self._move(node)
        if node.in_place:
            return
        for blob in receivers:
            self._sums[blob] = passed.on if len(receivers) == 1 else self.kernels.total(self.space.diff(blob))
        if node.type != "Split":
            self.entries.append(Entry(node.name, node.type, rule, received, passed.on, passed.bias, passed.stabiliser))

    def _silence(self, blobs: set[int]) -> None:
        """Nothing goes to these blobs, nor to what lies below them alone."""
        for blob in blobs:
            self.space.diff(blob).fill(0)
        self._silent |= blobs

    def _check_samples(self, node: Node, receivers: Collection[int]) -> None:
        if any(len(self.space.data(blob)) != self._samples for blob in receivers):
            raise RuleError(
                f"layer {node.name!r} ({node.type}) takes samples apart or together, so that relevance cannot be told "
                "by sample: explain a layer above it (target_layer), or replace it in the prototxt"
            )

    def _move(self, node: Node) -> tuple[str, Passed]:
        tops = set(node.tops)
        is_blind = bool(self._blind & tops)
        visit = Visit(self.facts.space, node, self.rules, self._known(node), node.index in self._lowest, blind=is_blind)
        moved = move(visit)
        if moved.placed is Placed.ANYWHERE:
            self._loose.update(node.bottoms)
            self._blind.update(node.bottoms)
        elif moved.placed is not Placed.BY_ACTIVATION:
            if moved.placed is Placed.ZERO_MOVED or self._loose & tops:
                self._loose.update(node.bottoms)
            if is_blind:
                self._blind.update(node.bottoms)
        return moved.rule, moved.passed

    def _known(self, node: Node) -> Known:
        when_run, finally_ = self.facts.signs
        tops = frozenset(node.tops)
        return Known(
            input_nonnegative=when_run[node.index].issuperset(node.bottoms),
            output_nonnegative=tops <= finally_,
            output_stored=not (tops & self.facts.overwritten and tops & self._loose),
        )
