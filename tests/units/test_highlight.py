"""Highlighting against a slow twin, written value by value from the papers, and against finite differences."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import OptionError
from rationale.network import Network
from rationale.units.highlight import METHODS, From, highlight
from tests.networks import batch_for, convolution, layer, load, relu

BRANCHES = (
    convolution("low", "data", 5, 3, "pad: 1")
    + relu("low_relu", "low")
    + layer("pool", "Pooling", "low", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + convolution("one", "pool", 4, 1)
    + relu("one_relu", "one")
    + convolution("three", "pool", 4, 3, "pad: 1")
    + layer("three_relu", "ReLU", "three")
    + layer("join", "Concat", "one three_relu")
    + convolution("top", "join", 6, 2)
    + relu("top_relu", "top")
)


def normed() -> str:
    """The branches with normalisation under them."""
    norm = layer("norm", "LRN", "pool", more="lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 }")
    low, _, rest = BRANCHES.partition('layer { name: "one"')
    return low + norm + ('layer { name: "one"' + rest).replace('bottom: "pool"', 'bottom: "norm"')


# ---- the slow twin: one sample, loops over every value --------------------------------------------------------------


def convolve(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, pad: int) -> np.ndarray:
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    size = weights.shape[2]
    height, width = padded.shape[1] - size + 1, padded.shape[2] - size + 1
    found = np.zeros((len(weights), height, width))
    for o in range(len(weights)):
        for i in range(height):
            for j in range(width):
                found[o, i, j] = np.sum(padded[:, i : i + size, j : j + size] * weights[o]) + bias[o]
    return found


def convolve_back(above: np.ndarray, weights: np.ndarray, pad: int, shape: tuple[int, ...]) -> np.ndarray:
    """The transposed filter: each value above is laid over the places that it came from (Zeiler, filtering)."""
    size = weights.shape[2]
    found = np.zeros((shape[0], shape[1] + 2 * pad, shape[2] + 2 * pad))
    for o, i, j in np.ndindex(above.shape):
        found[:, i : i + size, j : j + size] += above[o, i, j] * weights[o]
    return found[:, pad : pad + shape[1], pad : pad + shape[2]]


def pool(x: np.ndarray, height: int, width: int) -> tuple[np.ndarray, dict]:
    found, switches = np.zeros((len(x), height, width)), {}
    for c, i, j in np.ndindex(found.shape):
        window = x[c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        at = np.unravel_index(np.argmax(window), window.shape)
        switches[c, i, j] = (c, 2 * i + at[0], 2 * j + at[1])
        found[c, i, j] = window[at]
    return found, switches


def rectify(above: np.ndarray, output: np.ndarray, method: str) -> np.ndarray:
    """Zeiler and Fergus, section 2.1: R > 0; Springenberg et al., figure 1: f > 0 as well; the gradient: f > 0 only."""
    kept = above if method == "gradient" else np.maximum(above, 0)
    return kept if method == "deconv" else kept * (output > 0)


def twin(network: Network, x: np.ndarray, unit: int, place: tuple[int, int], method: str) -> np.ndarray:
    weights = {
        n: [np.array(p, float) for p in network.parameters(network.graph.node(n))]
        for n in ("low", "one", "three", "top")
    }
    low = np.maximum(convolve(x, *weights["low"], 1), 0)
    height, width = network.shape("pool")[2:]
    pooled, switches = pool(low, height, width)
    one = np.maximum(convolve(pooled, *weights["one"], 0), 0)
    three = np.maximum(convolve(pooled, *weights["three"], 1), 0)
    joined = np.concatenate([one, three])
    top = convolve(joined, *weights["top"], 0)
    seed = np.zeros(top.shape)
    seed[(unit, *place)] = 1
    at_join = convolve_back(seed, weights["top"][0], 0, joined.shape)
    by_one = rectify(at_join[: len(one)], one, method)
    by_three = rectify(at_join[len(one) :], three, method)
    at_pool = convolve_back(by_one, weights["one"][0], 0, pooled.shape)
    at_pool = at_pool + convolve_back(by_three, weights["three"][0], 1, pooled.shape)
    at_low = np.zeros(low.shape)
    for above, below in switches.items():
        at_low[below] += at_pool[above]
    return convolve_back(rectify(at_low, low, method), weights["low"][0], 1, x.shape)


@pytest.mark.parametrize("method", ["gradient", "deconv", "guided"])
def test_it_equals_the_slow_twin_on_branches(tmp_path: Path, method: str) -> None:
    network = load(tmp_path, BRANCHES, (1, 3, 9, 11))
    batch = batch_for(network, 2)
    for unit, place in ((0, (0, 0)), (3, (2, 1)), (5, (1, 3))):
        (found,) = highlight(network, batch, [From("top", unit, place)], method)
        for sample in range(2):
            expected = twin(network, batch[sample].astype(float), unit, place, method)
            assert np.abs(expected).max() > 1e-3
            np.testing.assert_allclose(found[sample], expected, atol=1e-5)


@pytest.mark.parametrize("place", ["strongest", "everywhere", (1, 2)])
@pytest.mark.parametrize("name", ["top", "one", "norm"])
def test_the_gradient_is_that_of_finite_differences(tmp_path: Path, name: str, place: str | tuple[int, int]) -> None:
    """Through normalisation across channels too."""
    network = load(tmp_path, normed(), (1, 3, 9, 11))
    batch = batch_for(network, 1)
    network.forward(batch)
    maps = network.activation(name)[0]
    unit = int(np.argmax(maps.min(axis=(1, 2)) if place == "everywhere" else maps.max(axis=(1, 2))))
    at = np.unravel_index(np.argmax(maps[unit]), maps[unit].shape) if place == "strongest" else place

    def value(moved: np.ndarray) -> float:
        network.forward(moved)
        found = network.activation(name)[0, unit].astype(float)
        return float(found.sum() if place == "everywhere" else found[at])

    (slope,) = highlight(network, batch, [From(name, unit, place)], "gradient")
    step = 1e-2
    checked = 0
    for pixel in np.argsort(-np.abs(slope[0]).ravel())[:12]:
        moved = [batch.copy() for _ in range(2)]
        moved[0].reshape(-1)[pixel] += step
        moved[1].reshape(-1)[pixel] -= step
        up, down, here = value(moved[0]), value(moved[1]), value(batch)
        if place != "everywhere" and abs(up + down - 2 * here) < 1e-4:  # no ReLU or maximum switches in between
            assert (up - down) / (2 * step) == pytest.approx(slope.reshape(-1)[pixel], rel=0.05, abs=1e-3)
            checked += 1
    assert checked > 0 or place == "everywhere" or value(batch) <= 0


@pytest.mark.parametrize("method", METHODS)
def test_several_starts_in_a_batch_are_each_as_if_alone(tmp_path: Path, method: str) -> None:
    """Nothing of an earlier start, in another branch or layer, may be left: Split would add it up."""
    network = load(tmp_path, normed(), (1, 3, 9, 11))
    batch = batch_for(network, 3)
    starts = [From("top", [0, 3, 5]), From("three", 1, "everywhere"), From("one", [2, 0, 1]), From("low", 4, (2, 3))]
    together = highlight(network, batch, starts, method)
    for start, found in zip(starts, together, strict=True):
        for sample in range(3):
            units = start.units if isinstance(start.units, int) else start.units[sample]
            fresh = load(tmp_path, normed(), (1, 3, 9, 11))
            (alone,) = highlight(fresh, batch[sample : sample + 1], [From(start.layer, units, start.place)], method)
            np.testing.assert_allclose(found[sample], alone[0], atol=1e-5)
    assert np.abs(together[0]).max() > 0


def test_a_silent_unit_of_a_branch_has_a_gradient_too(tmp_path: Path) -> None:
    """Its ReLU, closed, would hand on nothing; what would wake the unit is asked for."""
    network = load(tmp_path, BRANCHES, (1, 3, 9, 11))
    batch = batch_for(network, 1)
    for name in ("one", "three"):
        network.parameters(network.graph.node(name))[1][...] = -100
    for unit in (1, 6):
        (joined,) = highlight(network, batch, [From("join", unit, (1, 1))], "gradient")
        (own,) = highlight(network, batch, [From("one" if unit < 4 else "three", unit % 4, (1, 1))], "gradient")
        assert np.abs(joined).max() > 0
        np.testing.assert_array_equal(joined, own)


def test_lrp_distributes_the_units_activation(tmp_path: Path) -> None:
    network = load(tmp_path, BRANCHES, (1, 3, 9, 11))
    for node in network.graph.nodes:
        for bias in network.parameters(node)[1:]:
            bias[...] = 0
    batch = batch_for(network, 2)
    network.forward(batch)
    maps = network.activation("top")
    unit = int(np.argmax(maps.min(axis=0).max(axis=(1, 2))))
    found = highlight(network, batch, [From("top", unit), From("top", unit, "everywhere")], "lrp", composite="epsilon")
    np.testing.assert_allclose(found[0].sum(axis=(1, 2, 3)), maps[:, unit].max(axis=(1, 2)), rtol=1e-3)
    np.testing.assert_allclose(found[1].sum(axis=(1, 2, 3)), maps[:, unit].sum(axis=(1, 2)), rtol=1e-3)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    network = load(tmp_path, BRANCHES, (1, 3, 9, 11))
    batch = batch_for(network, 2)
    for start, message in (
        (From("nowhere", 0), "no layer is named 'nowhere'"),
        (From("top", 6), "has no unit 6; it has 0 to 5"),
        (From("top", [0, 1, 2]), "3 units for a batch of 2"),
        (From("top", 0, (9, 0)), "has no place 9, 0"),
        (From("top", 0, "middle"), "place 'middle' is unknown"),
    ):
        with pytest.raises(OptionError, match=message):
            highlight(network, batch, [start])
    with pytest.raises(OptionError, match="unknown; there is gradient"):
        highlight(network, batch, [From("top", 0)], "saliency")
