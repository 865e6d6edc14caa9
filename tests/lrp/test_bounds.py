"""z^B wants the bounds of what the lowest layer reads: they are carried through what lies below it."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import RuleError
from rationale.lrp import COMPOSITES, propagate
from rationale.network import Network
from tests import networks

LOW, HIGH = (0.0, -1.0, -2.0), (3.0, 2.0, 4.0)

INSIDE = {
    "Power": networks.layer("last", "Power", "data", more="power_param { scale: -0.25 shift: 0.5 }"),
    "Scale": networks.layer("last", "Scale", "data", more="scale_param { bias_term: true }"),
    "Bias": networks.layer("last", "Bias", "data"),
    "BatchNorm": networks.layer("norm", "BatchNorm", "data")
    + networks.layer("last", "Scale", "norm", more="scale_param { bias_term: true }"),
    "in place": networks.layer("power", "Power", "data", "data", "power_param { scale: 2 }")
    + networks.layer("last", "Power", "data", "data", "power_param { shift: -1 }"),
    "branches": networks.layer("half", "Power", "data", more="power_param { scale: 0.5 }")
    + networks.layer("back", "Power", "data", more="power_param { scale: -1 }")
    + networks.layer("sum", "Eltwise", "half back", more="eltwise_param { coeff: 1 coeff: -2 }")
    + networks.layer("last", "Concat", "data sum back"),
    "slices": 'layer { name: "cut" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 } }\n'
    + networks.layer("more", "Power", "b", more="power_param { scale: 10 }")
    + networks.layer("last", "Concat", "more a"),
    "pools": networks.layer("mean", "Pooling", "data", more="pooling_param { pool: AVE kernel_size: 2 stride: 2 }")
    + networks.layer("last", "ReLU", "mean"),
    "padded average": networks.layer(
        "last", "Pooling", "data", more="pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 1 }"
    ),
}


def ends(network: Network) -> np.ndarray:
    """Pictures that are nothing but the least, or the greatest, values; with each sign of each channel between."""
    choices = np.array(np.meshgrid(*zip(LOW, HIGH, strict=True))).reshape(3, -1).T
    return np.tile(choices[:, :, None, None], (1, 1, 8, 8)).astype(np.float32)


def fill(network: Network) -> None:
    random = np.random.default_rng(0)
    for node in network.graph.nodes:
        if node.type in ("Scale", "Bias", "BatchNorm"):
            for number, array in enumerate(network.parameters(node)):
                array[...] = random.uniform(0.5, 2, array.shape) * (1 if number or node.type == "BatchNorm" else -1)


@pytest.mark.parametrize("kind", INSIDE)
def test_the_same_function_gets_the_same_heatmap(kind: str, tmp_path: Path) -> None:
    """With the layers inside, or applied to picture and bounds beforehand: pixel bounds gave a correlation of 0.6."""
    inside = networks.load(
        tmp_path, INSIDE[kind] + networks.convolution("conv", _top(kind), 4, 3) + networks.dense("score", "conv", 3)
    )
    fill(inside)
    inside.forward(ends(inside))
    seen = inside.activation("last")
    low, high = seen.min(axis=(0, 2, 3)), seen.max(axis=(0, 2, 3))
    batch = np.random.default_rng(1).uniform(0, 1, (2, 3, 8, 8)).astype(np.float32)
    batch = batch * np.subtract(HIGH, LOW).reshape(1, 3, 1, 1).astype(np.float32) + np.reshape(LOW, (1, 3, 1, 1))
    batch = batch.astype(np.float32)
    found = propagate(inside, batch, 1, composite="epsilon-gamma-box", bounds=(LOW, HIGH))
    plain = networks.load(
        tmp_path,
        networks.convolution("conv", "data", 4, 3) + networks.dense("score", "conv", 3),
        (1, *seen.shape[1:]),
    )
    for name in ("conv", "score"):
        for own, other in zip(*(n.parameters(n.graph.node(name)) for n in (plain, inside)), strict=True):
            own[...] = other
    bounds = (tuple(map(float, low)), tuple(map(float, high)))
    inside.forward(batch)
    expected = propagate(plain, inside.activation("last"), 1, composite="epsilon-gamma-box", bounds=bounds)
    np.testing.assert_allclose(found["last"], expected["data"], atol=1e-5 * np.abs(expected["data"]).max())


def _top(kind: str) -> str:
    return "data" if kind == "in place" else "last"


def test_flattened_channels_keep_their_bounds(tmp_path: Path) -> None:
    batch = np.random.default_rng(0).uniform(0, 1, (2, 3, 8, 8)).astype(np.float32)
    bounds = ((0.0, -0.5, -1.0), (1.0, 1.5, 2.0))
    maps = []
    for flat, bottom in ((networks.layer("flat", "Flatten", "data"), "flat"), ("", "data")):
        network = networks.load(tmp_path, flat + networks.dense("score", bottom, 3))
        maps.append(propagate(network, batch, 1, composite="epsilon-gamma-box", bounds=bounds)["data"])
    np.testing.assert_allclose(maps[0], maps[1], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (networks.layer("last", "LRN", "data"), r"carried through 'last' \(LRN\) to 'conv'"),
        (networks.layer("last", "Power", "data", more="power_param { power: 2 }"), "Power 2"),
        (networks.layer("last", "Eltwise", "data data", more="eltwise_param { operation: PROD }"), "product 'last'"),
    ],
)
def test_bounds_that_do_not_follow_are_refused(body: str, message: str, tmp_path: Path) -> None:
    body += networks.convolution("conv", "last", 4, 3) + networks.dense("score", "conv", 3)
    network = networks.load(tmp_path, body)
    with pytest.raises(RuleError, match=message):
        propagate(network, networks.batch_for(network, 1), composite="epsilon-gamma-box", bounds=(-5.0, 5.0))
    rules = COMPOSITES["epsilon-gamma-box"].with_layers({"conv": "box(-30, 30)"})  # by name: of what the layer reads
    found = propagate(network, networks.batch_for(network, 1), composite=rules)
    assert found.ledger["conv"].rule == "box"
