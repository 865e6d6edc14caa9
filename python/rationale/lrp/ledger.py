"""The ledger: for every layer, what relevance came in from above, what went on below, and what was absorbed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.lrp.kernels import Kernels

Amounts = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One layer's account, each amount an array (N,), one number a sample.

    received = passed_on + bias + stabiliser + residual; the residual is rounding.
    """

    layer: str
    type: str
    rule: str
    received: Amounts
    passed_on: Amounts
    bias: Amounts
    stabiliser: Amounts

    @property
    def residual(self) -> Amounts:
        """What the account misses."""
        return self.received - self.passed_on - self.bias - self.stabiliser


def settled(kernels: Kernels, entries: Sequence[Entry], start: Amounts, samples: int) -> "Ledger":
    """The ledger of a pass that is over, with amounts that nobody has added up yet brought from the card at once."""
    if kernels.looks:
        return Ledger(entries, start)
    open_ = [amount for e in entries for amount in (e.received, e.passed_on, e.bias, e.stabiliser)]
    *amounts, start = kernels.settle([*open_, start], samples)
    rows = [amounts[4 * number : 4 * number + 4] for number in range(len(entries))]
    return Ledger([Entry(e.layer, e.type, e.rule, *row) for e, row in zip(entries, rows, strict=True)], start)


class Ledger(Sequence[Entry]):
    """Entries from the score layer down to the input.

    `start` is the relevance that the pass began with, (N,): f(x) of the target, unless the composite says otherwise.
    Σ R_input = f(x) − Σ bias − Σ stabiliser, summed over the layers, up to rounding.
    """

    def __init__(self, entries: Sequence[Entry], start: Amounts) -> None:
        self._entries = tuple(entries)
        self.start = start

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index):  # type: ignore[no-untyped-def]
        """The entry at a place, or of a layer by name."""
        if isinstance(index, str):
            index = [entry.layer for entry in self._entries].index(index)
        return self._entries[index]

    def __repr__(self) -> str:
        rows = [f"{'layer':<16}{'rule':<18}{'received':>12}{'passed on':>12}{'biases':>12}{'stabiliser':>12}"]
        for entry in self._entries:
            amounts = (entry.received, entry.passed_on, entry.bias, entry.stabiliser)
            means = "".join(f"{np.mean(amount):>12.4g}" for amount in amounts)
            rows.append(f"{entry.layer:<16}{entry.rule:<18}{means}")
        return "\n".join([f"Ledger of {len(self.start)} samples, means:", *rows])

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def largest_residual(self) -> float:
        """Largest |residual| of any layer, as a share of |f(x)|, over all samples."""
        scale = np.maximum(np.abs(self.start), np.finfo(np.float32).tiny)
        return max((float(np.max(np.abs(entry.residual) / scale)) for entry in self), default=0.0)
