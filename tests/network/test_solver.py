"""Weights lent from a training must be measured as the network that they are."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.network import Network, Solver
from tests import networks

BODY = (
    networks.convolution("conv", "data", 4, 3)
    + networks.layer("norm", "BatchNorm", "conv", "conv")
    + networks.layer("scale", "Scale", "conv", "conv", "scale_param { bias_term: true }")
    + networks.relu("relu", "conv")
    + networks.dense("score", "conv", 3)
)
LABEL = 'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 8 } } }\n'


def trained(folder: Path, updates: int) -> Solver:
    text = networks.definition(LABEL + BODY, (8, 3, 8, 8)) + networks.layer("loss", "SoftmaxWithLoss", "score label")
    (folder / "train.prototxt").write_text(text)
    (folder / "solver.prototxt").write_text('net: "train.prototxt" base_lr: 0.05 lr_policy: "fixed" momentum: 0.9')
    solver = Solver.load(folder / "solver.prototxt", folder, seed=1)
    random = np.random.default_rng(0)
    for _ in range(updates):
        batch = {"data": random.normal(1, 2, (8, 3, 8, 8)), "label": random.integers(0, 3, 8)}
        solver.step({name: values.astype(np.float32) for name, values in batch.items()})
    return solver


def test_lent_weights_say_what_saved_ones_say(tmp_path: Path) -> None:
    """With BatchNorm folded once, its first statistics stayed while the weights went on: accuracy was another's."""
    solver = trained(tmp_path, 5)
    (tmp_path / "deploy.prototxt").write_text(networks.definition(BODY))
    lent = Network.load(tmp_path / "deploy.prototxt", fold=False)
    solver.lend_weights(lent)
    solver.save_weights(tmp_path / "saved.caffemodel")
    saved = Network.load(tmp_path / "deploy.prototxt", tmp_path / "saved.caffemodel")
    batch = networks.batch_for(saved, 4)
    expected = saved.forward(batch)["score"]
    np.testing.assert_allclose(lent.forward(batch)["score"], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(NetworkError, match="load it with fold=False"):
        solver.lend_weights(saved)


@pytest.mark.parametrize("field", ['test_net: "x"', 'train_net: "x"', "net_param { }"])
def test_a_network_by_another_way_is_refused(field: str, tmp_path: Path) -> None:
    """It would be built unchecked, and could write into files."""
    (tmp_path / "solver.prototxt").write_text(f'net: "train.prototxt" {field}')
    with pytest.raises(NetworkError, match=field.split(":")[0].split()[0]):
        Solver.load(tmp_path / "solver.prototxt", tmp_path)
