"""Relevance through Caffe's LSTM (Arras et al. 2017): gates are weights and get nothing, the signal takes all.

Caffe unrolls an LSTM inside one layer, out of reach from Python; but everything in it follows from its inputs and
weights. So it is run again here, in float64, and relevance moves as multipliers m = R / activation, which equal LRP-0
wherever that is defined and need no division by numbers near zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rationale.errors import RuleError

Values = NDArray[np.float64]


def _share_kept_of_cancelled(cell: Values, kept: Values, added: Values) -> Values:
    """κ = |c| / (|c| + 0.3 · (|a| + |b| − |c|)): the stabiliser takes a part of what cancels, and nothing else."""
    return _ratio(np.abs(cell), 0.3 * (np.abs(kept) + np.abs(added) - np.abs(cell)))


def _share_kept_of_all(cell: Values, kept: Values, added: Values) -> Values:
    """κ = |c| / (|c| + 0.1 · (|a| + |b|)): the stabiliser takes a part of everything at every step."""
    return _ratio(np.abs(cell), 0.1 * (np.abs(kept) + np.abs(added)))


def _ratio(own: Values, more: Values) -> Values:
    total = own + np.maximum(more, 0)
    return np.divide(own, total, out=np.ones_like(own), where=total > 0)


# Where c = a + b, with a = f · c[t−1] and b = i · g of opposite sign, LRP-0 multiplies relevance going back through the
# sentence, up to hundreds of times the score. What a stabiliser lets go on of it, by name:
STABILISERS: dict[str, Callable[[Values, Values, Values], Values]] = {
    "cancelled": _share_kept_of_cancelled,
    "all": _share_kept_of_all,
    "none": lambda cell, kept, added: np.ones_like(cell),
}
DEFAULT = "cancelled"


@dataclass(frozen=True, eq=False)
class Lstm:
    """Weights of Caffe's LSTM layer, float64; rows are those of input, forget and output gate, and the signal g.

    Attributes:
        of_input: (4H, D).
        bias: (4H,).
        of_hidden: (4H, H).
        of_static: (4H, S), or None without a static input.
    """

    of_input: Values
    bias: Values
    of_hidden: Values
    of_static: Values | None = None

    @classmethod
    def of_blobs(cls, blobs: Sequence[NDArray[np.floating]]) -> Self:
        """From the layer's parameters in Caffe's order: W_xc, b_c, W_xc_static where there is one, W_hc.

        Raises:
            RuleError: they are not those of an LSTM.
        """
        if len(blobs) not in (3, 4) or any(len(blob) != len(blobs[0]) or len(blob) % 4 for blob in blobs):
            raise RuleError(f"an LSTM has 3 or 4 parameters with 4 · H rows, not {[each.shape for each in blobs]}")
        first, bias, *static, last = (np.asarray(blob, np.float64) for blob in blobs)
        return cls(first, bias, last, static[0] if static else None)

    @property
    def hidden(self) -> int:
        """H."""
        return len(self.bias) // 4

    def run(self, inputs: Values, cont: Values, static: Values | None = None) -> "LstmRun":
        """Runs it on whole sequences, from a state of zeros.

        z = W_xc x + b + W_static s + W_hc (cont · h[t−1]); c = cont · f · c[t−1] + i · g; h = o · tanh c.

        Args:
            inputs: x, (T, N, D).
            cont: (T, N), 0 where a sequence begins.
            static: s, (N, S), the same at every step.
        """
        size = self.hidden
        drive = inputs @ self.of_input.T + self.bias
        if self.of_static is not None:
            if static is None:
                raise RuleError("this LSTM has a static input")
            drive = drive + static @ self.of_static.T
        shape = (*drive.shape[:2], size)
        gates = {name: np.empty(shape) for name in ("input", "forget", "output", "signal", "cell", "hidden")}
        hidden, cell = np.zeros(shape[1:]), np.zeros(shape[1:])
        for step, goes_on in enumerate(cont[..., None]):
            z = drive[step] + (goes_on * hidden) @ self.of_hidden.T
            opened = expit(z[:, : 3 * size])
            gates["input"][step], gates["output"][step] = opened[:, :size], opened[:, 2 * size :]
            gates["forget"][step] = goes_on * opened[:, size : 2 * size]
            gates["signal"][step] = z[:, 3 * size :]
            cell = gates["forget"][step] * cell + gates["input"][step] * np.tanh(gates["signal"][step])
            hidden = gates["output"][step] * np.tanh(cell)
            gates["cell"][step], gates["hidden"][step] = cell, hidden
        return LstmRun(self, inputs, np.asarray(cont, np.float64), static, **gates)


@dataclass(frozen=True, eq=False)
class LstmRelevance:
    """Where relevance went, for K starts: multipliers, and sums of what stayed.

    Attributes:
        inputs: multipliers of the inputs, (T, K, D); relevance is x · m.
        static: multipliers of the static input, (K, S); None without one.
        bias: relevance that the signal's bias took, (K,).
        stabiliser: relevance that the cell's stabiliser took, (K,).
    """

    inputs: Values
    static: Values | None
    bias: Values
    stabiliser: Values


@dataclass(frozen=True, eq=False)
class LstmRun:
    """What happened in an LSTM, all (T, N, H): gates (`forget` times cont), the signal before tanh, cell and hidden."""

    lstm: Lstm
    inputs: Values
    cont: Values
    static: Values | None
    input: Values
    forget: Values
    output: Values
    signal: Values
    cell: Values
    hidden: Values

    def relevance(self, multipliers: Values, stabiliser: str = DEFAULT) -> LstmRelevance:
        """Moves relevance from the hidden states of all steps to the inputs (Arras et al. 2017, section 3).

        With R = m · activation at each place: R_c = R_h (+ what comes from the next step), split between f · c[t−1]
        and i · g in proportion; all of i · g goes to z_g, and from there by LRP-0 to x, s, h[t−1] and the bias.

        Args:
            multipliers: m_h at every step, (T, K, H): K starts in one sequence (N = 1), or one in each (K = N).
            stabiliser: of the cell, one of STABILISERS.

        Raises:
            RuleError: there is no such stabiliser.
        """
        if stabiliser not in STABILISERS:
            raise RuleError(f"there is no stabiliser {stabiliser!r} of the cell; there are {', '.join(STABILISERS)}")
        size, count = self.lstm.hidden, multipliers.shape[1]
        before = np.concatenate([np.zeros_like(self.cell[:1]), self.cell[:-1]])
        kept, added = self.forget * before, self.input * np.tanh(self.signal)
        share = STABILISERS[stabiliser](self.cell, kept, added)
        to_cell = self.output * _tanh_ratio(self.cell)
        to_signal = share * self.input * _tanh_ratio(self.signal)
        of_signal = self.lstm.of_hidden[3 * size :]
        signals = np.empty((len(self.cell), count, size))
        m_cell, m_hidden = np.zeros((count, size)), np.zeros((count, size))
        stabilised = np.zeros(count)
        for step in range(len(self.cell) - 1, -1, -1):
            m_cell = m_cell + (multipliers[step] + m_hidden) * to_cell[step]
            stabilised += (m_cell * ((1 - share[step]) * self.cell[step])).sum(axis=1)
            signals[step] = m_cell * to_signal[step]
            m_hidden = self.cont[step][:, None] * (signals[step] @ of_signal)
            m_cell = m_cell * share[step] * self.forget[step]
        static = None
        if self.lstm.of_static is not None:
            static = signals.sum(axis=0) @ self.lstm.of_static[3 * size :]
        return LstmRelevance(
            signals @ self.lstm.of_input[3 * size :],
            static,
            (signals @ self.lstm.bias[3 * size :]).sum(axis=0),
            stabilised,
        )


def _tanh_ratio(values: Values) -> Values:
    """tanh(x) / x, 1 at 0."""
    return np.divide(np.tanh(values), values, out=np.ones_like(values), where=values != 0)
