"""The twelve formulas of the LRP toolbox for Caffe, by public options alone, against float64 matrices.

`docs/lrp.md` has the same table. "Low" layers are those up to the one that the toolbox calls the last for flat or w².
"""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from rationale.lrp import COMPOSITES, propagate
from tests import networks
from tests.lrp import reference as by_hand

EPS, BETA = 0.01, 1.0
BOUNDS = (-3.0, 3.0)
AB = f"alpha-beta({1 + BETA:g}, {BETA:g})"
EPSILON = f"epsilon({EPS:g})"
LAYERS = ("conv1", "conv2", "fc1", "score")
BODY = (
    networks.convolution("conv1", "data", 4, 3)
    + networks.relu("relu1", "conv1")
    + networks.layer("pool", "Pooling", "conv1", more="pooling_param { pool: MAX kernel_size: 2 stride: 2 }")
    + networks.convolution("conv2", "pool", 5, 2)
    + networks.relu("relu2", "conv2")
    + networks.dense("fc1", "conv2", 6)
    + networks.relu("relu3", "fc1")
    + networks.dense("score", "fc1", 3)
)
SHAPE = (1, 2, 8, 8)

# formula → rules here, and the float64 rule of conv1, conv2, fc1 and score
eps = partial(by_hand.epsilon, eps=EPS)
ab = partial(by_hand.alpha_beta, alpha=1 + BETA, beta=BETA)
box = partial(by_hand.box, low=np.float64(BOUNDS[0]), high=np.float64(BOUNDS[1]))
BOX = f"box({BOUNDS[0]:g}, {BOUNDS[1]:g})"
FORMULAS = {
    0: ({"*": EPSILON}, (eps, eps, eps, eps)),
    2: ({"*": AB}, (ab, ab, ab, ab)),
    6: ({"conv1": BOX, "*": AB}, (box, ab, ab, ab)),
    8: ({"conv1": BOX, "*": EPSILON}, (box, eps, eps, eps)),
    54: ({"conv1": "flat", "*": EPSILON}, (by_hand.flat, eps, eps, eps)),
    56: ({"conv1": "w2", "*": EPSILON}, (by_hand.w_square, eps, eps, eps)),
    58: ({"conv1": "flat", "*": AB}, (by_hand.flat, ab, ab, ab)),
    60: ({"conv1": "w2", "*": AB}, (by_hand.w_square, ab, ab, ab)),
    100: ({"type:Convolution": AB, "type:InnerProduct": EPSILON}, (ab, ab, eps, eps)),
    102: ({"conv1": "flat", "type:Convolution": AB, "type:InnerProduct": EPSILON}, (by_hand.flat, ab, eps, eps)),
    104: ({"conv1": "w2", "type:Convolution": AB, "type:InnerProduct": EPSILON}, (by_hand.w_square, ab, eps, eps)),
    114: ({"conv*": AB, "*": EPSILON}, (ab, ab, eps, eps)),
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_the_toolboxs_formulas_are_had_by_options(formula: int, tmp_path: Path) -> None:
    rules, parts = FORMULAS[formula]
    network = networks.load(tmp_path, BODY, SHAPE)
    batch = networks.batch_for(network, 1, seed=formula)
    found = propagate(network, batch, 1, composite=COMPOSITES["epsilon"].with_layers(rules))
    weights = {name: network.parameters(network.graph.node(name)) for name in LAYERS}
    matrices = [
        by_hand.convolution_matrix(*weights["conv1"], (2, 8, 8)),
        by_hand.convolution_matrix(*weights["conv2"], (4, 3, 3)),
        by_hand.dense_matrix(*weights["fc1"]),
        by_hand.dense_matrix(*weights["score"]),
    ]
    expected = _relevance(matrices, parts, batch[0].ravel().astype(np.float64))
    error = np.abs(found["data"][0].ravel() - expected).max() / np.abs(expected).max()
    assert error <= 5e-6


def _relevance(matrices: list[by_hand.Matrix], parts: tuple[partial, ...], picture: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
    """Forward and backward in float64: layers with ReLU between, and the maximum over 2 × 2 after the first."""
    first, second, third, last = matrices
    low = np.maximum(first.weights @ picture + first.bias, 0).reshape(4, 6, 6)
    windows = low.reshape(4, 3, 2, 3, 2).transpose(0, 1, 3, 2, 4).reshape(36, 4)
    middle = windows.max(axis=1)
    high = np.maximum(second.weights @ middle + second.bias, 0)
    dense = np.maximum(third.weights @ high + third.bias, 0)
    relevance = np.where(np.arange(3) == 1, last.weights @ dense + last.bias, 0.0)
    for layer, rule, x in ((last, parts[3], dense), (third, parts[2], high), (second, parts[1], middle)):
        relevance = rule(layer, x, relevance)
    winners = np.zeros((36, 4))
    winners[np.arange(36), windows.argmax(axis=1)] = relevance
    spread = winners.reshape(4, 3, 3, 2, 2).transpose(0, 1, 3, 2, 4).ravel()
    return np.asarray(parts[0](first, picture, spread))
