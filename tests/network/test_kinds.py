"""What the table of layer types says must be true of the layers that Caffe runs."""

from pathlib import Path

import numpy as np
import pytest

from rationale.network import Network
from rationale.network.kinds import KINDS
from rationale.network.pycaffe import layer_types
from tests import networks

# One definition or several for each type that works value by value.
PARAMETERS = {
    "Power": ["", "power_param { scale: 2 }", "power_param { shift: 1 }", "power_param { power: 3 scale: 0.5 }",
              "power_param { scale: -1 }", "power_param { power: 2 }", "power_param { power: 0 }"],
    "Scale": ["scale_param { filler { value: 2 } }", "scale_param { filler { value: -2 } }",
              "scale_param { filler { value: 2 } bias_term: true bias_filler { value: 1 } }"],
    "Bias": ["bias_param { filler { value: 1 } }"],
    "ReLU": ["", "relu_param { negative_slope: 0.1 }", "relu_param { negative_slope: -0.1 }"],
    "ELU": ["", "elu_param { alpha: 0.5 }"],
    "PReLU": ["", "prelu_param { filler { value: -0.5 } }"],
    "Clip": ["clip_param { min: -1 max: 1 }", "clip_param { min: 0.5 max: 1 }"],
    "Exp": ["", "exp_param { base: 0.5 }", "exp_param { scale: -1 }"],
    "Log": ["log_param { shift: 9 }", "log_param { base: 2 shift: 9 }", "log_param { base: 0.5 shift: 9 }"],
    "Threshold": ["", "threshold_param { threshold: -1 }"],
    "BatchNorm": [""],
}  # fmt: skip
ELEMENTWISE = [
    (name, more)
    for name, kind in KINDS.items()
    if kind.elementwise and name != "LRN"
    for more in PARAMETERS.get(name, [""])
]


def through(network: Network, values: np.ndarray) -> np.ndarray:
    """What the layer makes of numbers, (K,)."""
    return network.forward(values.reshape(-1, 1, 1, 1).astype(np.float32))["layer"].ravel().astype(np.float64)


@pytest.mark.parametrize(("type_", "more"), ELEMENTWISE)
def test_the_table_says_what_caffe_computes(type_: str, more: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.layer("layer", type_, "data", more=more), (1, 1, 1, 1))
    node = network.graph.node("layer")
    if type_ == "BatchNorm":
        for blob, value in zip(network.parameters(node), (0.5, 2.0, 1.0), strict=True):
            blob[...] = value
    known = KINDS[type_]
    definition = node.parameter
    grid = np.linspace(-3, 3, 61)
    found = through(network, grid)
    steps = np.diff(found)
    tiny = 1e-5
    grows = bool((steps >= -tiny).all() and np.ptp(found) > 0)
    assert node.rises == (grows and type_ not in ("Threshold", "Dropout"))  # one loses all, the other changes nothing
    if node.rises:
        assert known.flat(definition) == bool((np.abs(steps) < 1e-9).any())
    assert bool(known.moves_zero(definition)) == (abs(through(network, np.zeros(1))[0]) > 1e-6)
    bent = np.abs(np.diff(steps)).max() > 1e-4
    assert not (known.affine(definition) and bent)
    assert not known.never_negative(definition) or (found >= 0).all()
    assert not known.keeps_sign(definition) or (found[grid >= 0] >= 0).all()
    assert known.hands_on == (type_ == "Dropout")
    assert len(network.parameters(node)) == known.learnt(definition) + known.statistics


def test_every_type_in_the_table_is_one_of_caffes() -> None:
    """A misspelt name would know nothing of anything."""
    assert set(KINDS) - layer_types() <= {"ImageData", "WindowData"}  # this build has no OpenCV, which they need
