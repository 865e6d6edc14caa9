"""The published relevance rules in float64 matrices, written from the papers and nothing else.

A layer is a matrix of weights (outputs × inputs), a bias and the pattern of its connections.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from rationale.lrp.rules import Fraction, Rule, Term


@dataclass
class Matrix:
    weights: np.ndarray  # (J, I)
    bias: np.ndarray  # (J,)
    connected: np.ndarray  # (J, I), 1 where input i belongs to the window of output j


def dense_matrix(weights: np.ndarray, bias: np.ndarray | None) -> Matrix:
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    return Matrix(flat, np.zeros(len(flat)) if bias is None else bias.astype(np.float64), np.ones_like(flat))


def convolution_matrix(
    weights: np.ndarray,
    bias: np.ndarray | None,
    shape: tuple[int, int, int],
    *,
    stride: int = 1,
    pad: int = 0,
    dilation: int = 1,
    group: int = 1,
) -> Matrix:
    """Every output of a convolution as a row, by plain loops."""
    outputs, per_group, kernel, _ = weights.shape
    channels, height, width = shape
    reach = dilation * (kernel - 1) + 1
    rows = [(size + 2 * pad - reach) // stride + 1 for size in (height, width)]
    matrix = np.zeros((outputs, *rows, channels, height, width))
    connected = np.zeros_like(matrix)
    for o, y, x, c, ky, kx in product(
        range(outputs), *map(range, rows), range(per_group), range(kernel), range(kernel)
    ):
        channel = c + per_group * (o // (outputs // group))
        row, column = y * stride - pad + ky * dilation, x * stride - pad + kx * dilation
        if 0 <= row < height and 0 <= column < width:
            matrix[o, y, x, channel, row, column] = weights[o, c, ky, kx]
            connected[o, y, x, channel, row, column] = 1
    size = (outputs * rows[0] * rows[1], channels * height * width)
    full_bias = np.zeros(outputs) if bias is None else bias.astype(np.float64)
    return Matrix(matrix.reshape(size), np.repeat(full_bias, rows[0] * rows[1]), connected.reshape(size))


def deconvolution_matrix(
    weights: np.ndarray, bias: np.ndarray, shape: tuple[int, int, int], *, stride: int = 1, pad: int = 0
) -> Matrix:
    """Every input of a transposed convolution spreads its kernel over the output, by plain loops."""
    inputs, outputs, kernel, _ = weights.shape
    _, height, width = shape
    rows = [stride * (size - 1) + kernel - 2 * pad for size in (height, width)]
    matrix = np.zeros((outputs, *rows, inputs, height, width))
    connected = np.zeros_like(matrix)
    for c, o, y, x, ky, kx in product(*map(range, (inputs, outputs, height, width, kernel, kernel))):
        row, column = y * stride - pad + ky, x * stride - pad + kx
        if 0 <= row < rows[0] and 0 <= column < rows[1]:
            matrix[o, row, column, c, y, x] += weights[c, o, ky, kx]
            connected[o, row, column, c, y, x] = 1
    size = (outputs * rows[0] * rows[1], inputs * height * width)
    return Matrix(matrix.reshape(size), np.repeat(bias.astype(np.float64), rows[0] * rows[1]), connected.reshape(size))


def sign(z: np.ndarray) -> np.ndarray:
    """+1 where z is zero, as everywhere in LRP here."""
    return np.where(z >= 0, 1.0, -1.0)


def epsilon(layer: Matrix, x: np.ndarray, relevance: np.ndarray, eps: float = 1e-6) -> np.ndarray:
    """Bach et al. 2015, eq. 58: R_i = Σ_j z_ij / (z_j + ε sign z_j) R_j, z_ij = x_i w_ij, z_j = Σ_i z_ij + b_j."""
    contributions = layer.weights * x
    z = contributions.sum(axis=1) + layer.bias
    return (contributions / (z + eps * sign(z))[:, None] * relevance[:, None]).sum(axis=0)


def alpha_beta(layer: Matrix, x: np.ndarray, relevance: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Bach et al. 2015, eq. 60: R_i = Σ_j (α z⁺_ij / z⁺_j + β z⁻_ij / z⁻_j) R_j with α + β = 1 there, −β here."""
    contributions = layer.weights * x
    result = np.zeros(len(x))
    for share, keep in ((alpha, np.maximum), (-beta, np.minimum)):
        part = keep(contributions, 0)
        z = part.sum(axis=1) + keep(layer.bias, 0)
        result += (share * part / (z + 1e-6 * sign(z))[:, None] * relevance[:, None]).sum(axis=0)
    return result


def z_plus(layer: Matrix, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Montavon et al. 2017: only positive contributions count."""
    return alpha_beta(layer, x, relevance, 1, 0)


def gamma(layer: Matrix, x: np.ndarray, relevance: np.ndarray, g: float) -> np.ndarray:
    """Montavon et al. 2019: w + γ w⁺; for negative outputs what lowers is strengthened instead (Andéol et al. 2021)."""
    contributions = layer.weights * x
    output = contributions.sum(axis=1) + layer.bias
    result = np.zeros(len(x))
    for chosen, keep in ((output >= 0, np.maximum), (output < 0, np.minimum)):
        part = contributions + g * keep(contributions, 0)
        z = part.sum(axis=1) + layer.bias + g * keep(layer.bias, 0)
        result += (part / (z + 1e-6 * sign(z))[:, None] * (relevance * chosen)[:, None]).sum(axis=0)
    return result


def excitation(layer: Matrix, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Zhang et al. 2016, eq. 5: P(i | j) ∝ the positive contributions; no bias."""
    part = np.maximum(layer.weights * x, 0)
    return (part / (part.sum(axis=1) + 1e-6)[:, None] * relevance[:, None]).sum(axis=0)


def w_square(layer: Matrix, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Montavon et al. 2017: R_i = Σ_j w_ij² / Σ_i w_ij² R_j."""
    squares = layer.weights**2
    return (squares / (squares.sum(axis=1) + 1e-6)[:, None] * relevance[:, None]).sum(axis=0)


def box(layer: Matrix, x: np.ndarray, relevance: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Montavon et al. 2017: R_i = Σ_j (x_i w_ij − l_i w⁺_ij − h_i w⁻_ij) / Σ_i (…) R_j."""
    part = layer.weights * x - np.maximum(layer.weights, 0) * low - np.minimum(layer.weights, 0) * high
    z = part.sum(axis=1)
    return (part / (z + 1e-6 * sign(z))[:, None] * relevance[:, None]).sum(axis=0)


def relative_epsilon(layer: Matrix, x: np.ndarray, relevance: np.ndarray, share: float) -> np.ndarray:
    """ε-rule with ε = share of the root mean square of the pre-activations that get relevance."""
    z = (layer.weights @ x + layer.bias)[relevance != 0]
    return epsilon(layer, x, relevance, share * np.sqrt(np.mean(z**2)))


def spread_epsilon(layer: Matrix, x: np.ndarray, relevance: np.ndarray, eps: float) -> np.ndarray:
    """Arras et al. 2017, eq. 2 with δ = 1: bias and stabiliser count as contributions of all inputs in equal parts."""
    contributions = layer.weights * x
    z = contributions.sum(axis=1) + layer.bias
    extra = (layer.bias + eps * sign(z)) / layer.connected.sum(axis=1)
    shares = contributions + layer.connected * extra[:, None]
    return (shares / (z + eps * sign(z))[:, None] * relevance[:, None]).sum(axis=0)


def flat(layer: Matrix, x: np.ndarray, relevance: np.ndarray) -> np.ndarray:
    """Evenly over the window of each output, as far as it lies inside the picture."""
    return (layer.connected / layer.connected.sum(axis=1, keepdims=True) * relevance[:, None]).sum(axis=0)


# ---- any rule: the formula at the head of rationale/lrp/rules.py, sum by sum -----------------------------------------


def by_rule(
    layer: Matrix, x: np.ndarray, relevance: np.ndarray, rule: Rule, channels: np.ndarray | None = None
) -> np.ndarray:
    """R_i = Σ_fractions coefficient · Σ_terms sign · x̃_i · Σ_j w̃_ij · R_j / (z_j + ε·sign(z_j)), and what is spread.

    `channels`: the channel of each input, for bounds that differ by channel.
    """
    plain = layer.weights @ x + layer.bias
    result, absorbed = np.zeros(len(x)), np.zeros(len(plain))
    for fraction in rule.fractions:
        given = relevance * _concerned(fraction, plain)
        products = [
            term.sign * _weights(layer, term.weights, rule) * _inputs(term, x, rule, channels)
            for term in fraction.terms
        ]
        contributions = sum(products)
        z = contributions.sum(axis=1) + sum(
            term.sign * _changed(layer.bias, term.bias, rule) for term in fraction.terms
        )
        size = rule.stabiliser
        if rule.relative:
            met = z[given != 0]
            size *= np.sqrt(np.mean(met**2)) if met.size else 1.0
        below = z + size * sign(z)
        quotient = fraction.coefficient * given / np.where(below == 0, 1, below) * (below != 0)
        result += (contributions * quotient[:, None]).sum(axis=0)
        absorbed += fraction.coefficient * given - quotient * contributions.sum(axis=1)
    if rule.spread_bias:
        counts = layer.connected.sum(axis=1)
        even = np.divide(absorbed, counts, out=np.zeros_like(absorbed), where=counts != 0)
        result += (layer.connected * even[:, None]).sum(axis=0)
    return result


def by_rule_with_doubt(
    layer: Matrix, x: np.ndarray, relevance: np.ndarray, rule: Rule, channels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`by_rule`, and how far rounding the weights to single precision moves it, as where a denominator cancels."""
    exact = by_rule(layer, x, relevance, rule, channels)
    random = np.random.default_rng(0)
    doubt = np.zeros_like(exact)
    for _ in range(4):
        noise = 1 + 2 * np.finfo(np.float32).eps * random.choice([-1, 1], layer.weights.shape)
        moved = Matrix(layer.weights * noise, layer.bias, layer.connected)
        doubt = np.maximum(doubt, np.abs(by_rule(moved, x, relevance, rule, channels) - exact))
    return exact, 5 * doubt


def _concerned(fraction: Fraction, plain: np.ndarray) -> np.ndarray:
    if fraction.where is None:
        return np.ones(len(plain))
    return np.where(plain >= 0 if fraction.where == "z>0" else plain < 0, 1.0, 0.0)


def _inputs(term: Term, x: np.ndarray, rule: Rule, channels: np.ndarray | None) -> np.ndarray:
    if term.inputs in ("low", "high"):
        assert rule.bounds is not None
        ends = np.array(rule.bounds[term.inputs == "high"])
        return np.broadcast_to(ends, x.shape) if len(ends) == 1 else ends[channels]
    return {"x": x, "x+": np.maximum(x, 0), "x-": np.minimum(x, 0), "ones": np.ones_like(x)}[term.inputs]


def _weights(layer: Matrix, name: str, rule: Rule) -> np.ndarray:
    return _changed(layer.weights, name, rule) * layer.connected


def _changed(w: np.ndarray, name: str, rule: Rule) -> np.ndarray:
    return {
        "w": w,
        "w+": np.maximum(w, 0),
        "w-": np.minimum(w, 0),
        "w+γw+": w + rule.gamma * np.maximum(w, 0),
        "w+γw-": w + rule.gamma * np.minimum(w, 0),
        "w²": w**2,
        "ones": np.ones_like(w),
        "0": np.zeros_like(w),
    }[name]
