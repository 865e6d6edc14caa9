"""The arithmetic of relevance on a card: fused kernels, and amounts that stay there until the pass is over.

Nothing here looks at a number: that would wait for all that the card still has to do, and nothing new would be asked of
it meanwhile.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.lrp.kernels import Kernels, Quotient
from rationale.network.views import Views

Array = Any  # of the card's array module

SOURCE = Path(__file__).with_name("card.cu")
THREADS = 256  # of a block at most, as card.cu has it
_SLAB = 1 << 18  # numbers of which partial sums are cut


class Amount:
    """An amount of each sample, (N,), that nobody has added up yet: a sum of factors times partial sums (N, k).

    It can be added to others and multiplied by a number, as an array could.
    """

    __slots__ = ("parts",)
    __array_ufunc__ = None  # NumPy's numbers leave the arithmetic to this

    def __init__(self, parts: tuple[tuple[float, Array], ...] = ()) -> None:
        self.parts = parts

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(self.parts + other.parts)

    def __mul__(self, factor: float) -> "Amount":
        return Amount(tuple((factor * own, partial) for own, partial in self.parts))

    __rmul__ = __mul__


class CardKernels(Kernels):
    """Arithmetic on arrays of a card's memory, or of what stands in for one.

    Arrays that come in are C-contiguous, as Caffe's blobs are.
    """

    looks = False

    def __init__(self, views: Views) -> None:
        super().__init__(views.xp)
        self.views = views
        self._slabs: list[Array] = []
        self._slab, self._place = 0, 0  # the next number that is free
        self._uploaded: dict[bytes, Array] = {}  # tables of the last passes

    # ---- amounts -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """See Kernels; the memory of partial sums is used again."""
        self._slab, self._place = 0, 0

    def nothing(self, samples: int) -> Any:
        """See Kernels."""
        return Amount()

    def settle(self, amounts: Iterable[Any], samples: int) -> list[NDArray[np.float64]]:
        """See Kernels: adds all of them up in one go, and copies them from the card at once."""
        wanted = list(amounts)
        partials = {id(partial): partial for amount in wanted for _, partial in amount.parts}
        if not partials:
            return [np.zeros(samples) for _ in wanted]
        rows: list[int] = []
        lengths: list[int] = []
        places = {}
        for key, partial in partials.items():
            places[key] = slice(len(rows), len(rows) + len(partial))
            size = partial.shape[1]
            rows += [_pointer(partial) + 8 * size * number for number in range(len(partial))]
            lengths += [size] * len(partial)
        sums = self._reserve(len(rows), 1)
        self._launch("gather", len(rows), max(lengths), self._table(rows), self._table(lengths), sums)
        found = self.views.to_host(sums).reshape(-1)
        return [
            sum((factor * found[places[id(partial)]] for factor, partial in amount.parts), np.zeros(samples))
            for amount in wanted
        ]

    def _reserve(self, samples: int, count: int) -> Array:
        """Memory for partial sums, float64 (samples, count), until the next pass."""
        size = samples * count
        while self._slab < len(self._slabs) and self._place + size > self._slabs[self._slab].size:
            self._slab, self._place = self._slab + 1, 0
        if self._slab == len(self._slabs):
            self._slabs.append(self.xp.empty(max(_SLAB, size), np.float64))
        start, self._place = self._place, self._place + size
        return self._slabs[self._slab][start : start + size].reshape(samples, count)

    def _table(self, numbers: Sequence[int]) -> Array:
        """Whole numbers in the card's memory, int64; those of a pass like an earlier one are there already."""
        values = np.array(numbers, np.int64)
        key = values.tobytes()
        if key not in self._uploaded:
            while len(self._uploaded) > 32:
                self._uploaded.pop(next(iter(self._uploaded)))
            self._uploaded[key] = self.views.from_host(values)
        return self._uploaded[key]

    def _launch(self, name: str, rows: int, size: int, *arguments: Any) -> None:
        """Runs a function of card.cu on so many rows of so many numbers."""
        threads = min(THREADS, max(32, 1 << max(size - 1, 0).bit_length()))
        self.views.launch(SOURCE, name, rows, threads, *arguments)

    # ---- shares ------------------------------------------------------------------------------------------------------

    def divide(
        self,
        relevance: Array,
        denominator: Array,
        sign: int | None,
        epsilon: float,
        share: float,
        out: Array,
        relative: bool = False,
    ) -> Quotient:
        """See Kernels."""
        samples, channels = relevance.shape[:2]
        size = _size(relevance)
        scale: Any = np.uint64(0)
        if relative and epsilon:
            scale = self._reserve(samples, 1)
            numbers = np.int64(channels * size), np.int64(math.prod(denominator.shape))
            self._launch("root_mean_square", samples, channels * size, relevance, denominator, scale, *numbers)
        sums, taken = self._reserve(samples, channels), self._reserve(samples, channels)
        counts = np.int64(size), np.int64(channels), np.int64(len(denominator) * channels)
        numbers32 = np.int32(sign or 0), np.float32(epsilon), np.float32(share)
        self._launch(
            "divide", samples * channels, size, relevance, denominator, out, sums, taken, scale, *counts, *numbers32
        )
        return Quotient(sums, Amount(((1.0, taken),)))  # type: ignore[arg-type]

    def weigh(self, sums: Array, weights: Array, sign: int) -> Any:
        """See Kernels."""
        samples, channels = sums.shape
        out = self._reserve(samples, 1)
        self._launch("weigh", samples, channels, sums, weights, out, np.int64(channels))
        return Amount(((float(sign), out),))

    # ---- choosing ----------------------------------------------------------------------------------------------------

    def choose(self, relevance: Array, plain: Array, positive: bool, out: Array) -> None:
        """See Kernels."""
        size = _size(relevance)
        self._launch("choose", _rows(relevance), size, relevance, plain, out, np.int64(size), np.int32(positive))

    def complement(self, whole: Array, part: Array, relevance: Array, out: Array) -> bool:
        """See Kernels: whether a difference can be trusted only a look would tell."""
        return False

    def meets_zero(self, relevance: Array, activation: Array) -> bool:
        """See Kernels: perhaps it does."""
        return True

    # ---- products and sums -------------------------------------------------------------------------------------------

    def multiply(self, values: Array, factor: Array, sign: int = 1) -> Any:
        """See Kernels."""
        size, channels = _size(values), _rows(values) // len(values)
        places = (1,) * (values.ndim - 2)
        if factor.shape not in (values.shape, (1, *values.shape[1:]), (1, channels, *places), (1, 1, *places)):
            values *= factor
            factor = self.xp.ones((1,) * values.ndim, np.float32)
        sums = self._reserve(len(values), channels)
        numbers = np.int64(size), np.int64(_rows(factor)), np.int64(_size(factor)), np.int32(sign)
        self._launch("multiply", _rows(values), size, values, factor, sums, *numbers)
        return Amount(((1.0, sums),))

    def add(self, values: Array, more: Array, sign: int = 1) -> None:
        """See Kernels."""
        if sign > 0:
            values += more
        else:
            values -= more

    def total(self, values: Array) -> Any:
        """See Kernels."""
        size = _size(values)
        sums = self._reserve(len(values), _rows(values) // len(values))
        self._launch("total", _rows(values), size, values, sums, np.int64(size))
        return Amount(((1.0, sums),))

    def keep_channels(self, values: Array, channels: NDArray[np.int64]) -> None:
        """See Kernels."""
        kept = np.zeros((1, values.shape[1], *(1,) * (values.ndim - 2)), bool)
        kept[:, channels] = True
        values[...] = self.xp.where(self.views.from_host(kept), values, np.float32(0))

    # ---- noticing changes --------------------------------------------------------------------------------------------

    def fingerprints(self, arrays: Sequence[Array]) -> Array:
        """A number for each array that changes when its values do, or their order, uint64, on the card."""
        out = self.xp.zeros(len(arrays), np.uint64)
        sizes = [math.prod(array.shape) for array in arrays]
        if not sizes:
            return out
        parts = max(1, min(64, max(sizes) // (16 * THREADS)))
        tables = self._table([_pointer(array) for array in arrays]), self._table(sizes)
        self._launch("fingerprint", len(arrays) * parts, THREADS, *tables, out, np.int64(parts))
        return out

    def differ(self, now: Array, known: Array) -> Amount:
        """1 where any of two lists of such numbers differ, else 0; of one sample."""
        out = self._reserve(1, 1)
        self._launch("differ", 1, len(now), now, known, out, np.int64(len(now)))
        return Amount(((1.0, out),))


def _pointer(array: Array) -> int:
    """Where an array of a card's memory lies."""
    return int(array.data.ptr)


def _size(values: Array) -> int:
    """Numbers in a row: those of one channel of one sample."""
    return math.prod(values.shape[2:])


def _rows(values: Array) -> int:
    return math.prod(values.shape[:2])
