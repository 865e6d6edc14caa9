"""A constant beside the picture must weigh in as it does in Caffe, for batches of any size, and take its own share."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.lrp import propagate
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks

DUMMY = (
    'layer {{ name: "more" type: "DummyData" top: "more" dummy_data_param {{ '
    'data_filler {{ type: "constant" value: 2 }} '
    "shape {{ dim: {0} dim: 1 dim: 8 dim: 8 }} }} }}\n"
)
OLD_DUMMY = (
    'layer {{ name: "more" type: "DummyData" top: "more" dummy_data_param {{ data_filler {{ value: 2 }} '
    "num: {0} channels: 1 height: 8 width: 8 }} }}\n"
)
PARAMETER = (
    'layer {{ name: "more" type: "Parameter" top: "more" '
    "parameter_param {{ shape {{ dim: {0} dim: 1 dim: 8 dim: 8 }} }} }}\n"
)
REST = (
    networks.layer("cat", "Concat", "data more")
    + networks.convolution("conv", "cat", 4, 3)
    + networks.layer("norm", "BatchNorm", "conv", more="batch_norm_param { eps: 1 }")
    + networks.dense("score", "norm", 3)
)


def with_weights(folder: Path, source: str, size: int) -> tuple[Network, np.ndarray, np.ndarray]:
    """A network, a batch of the file's size, and its scores by Caffe alone."""
    path, weights = folder / "network.prototxt", folder / "weights.caffemodel"
    path.write_text(networks.definition(source.format(size) + REST, (size, 3, 8, 8)))
    caffe = pycaffe()
    caffe.set_random_seed(4)
    plain = caffe.Net(str(path), caffe.TEST)
    if "more" in plain.params:
        plain.params["more"][0].data[...] = np.arange(64).reshape(8, 8) / 64
    plain.save(str(weights))
    batch = np.random.default_rng(0).normal(size=(size, 3, 8, 8)).astype(np.float32)
    plain.blobs["data"].data[...] = batch
    plain.forward()
    return Network.load(path, weights), batch, plain.blobs["score"].data.copy()


@pytest.mark.parametrize(("source", "size"), [(DUMMY, 1), (DUMMY, 3), (OLD_DUMMY, 3), (PARAMETER, 1)])
def test_a_constant_weighs_in_as_in_caffe(source: str, size: int, tmp_path: Path) -> None:
    network, batch, expected = with_weights(tmp_path, source, size)
    assert list(network.inputs) == ["data"]
    np.testing.assert_allclose(network.forward(batch)["score"], expected, rtol=1e-4, atol=1e-5)
    twice = np.concatenate([batch, batch[:1]])
    np.testing.assert_allclose(network.forward(twice)["score"][-1], expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("source", [DUMMY, PARAMETER])
def test_a_constant_takes_its_share(source: str, tmp_path: Path) -> None:
    network, batch, _ = with_weights(tmp_path, source, 1)
    pair = np.concatenate([batch, batch * 2])
    together, alone = (propagate(network, each, 1, composite="epsilon") for each in (pair, batch))
    np.testing.assert_allclose(together["data"][:1], alone["data"], rtol=1e-4, atol=1e-5)
    kept = sum(entry.bias + entry.stabiliser for entry in together.ledger)
    np.testing.assert_allclose(together["data"].sum(axis=(1, 2, 3)) + kept, together.scores, rtol=1e-4, atol=1e-4)
    (share,) = (entry.received for entry in together.ledger if entry.layer == "more")
    np.testing.assert_allclose(together["more"].sum(axis=(1, 2, 3)), share, rtol=1e-4, atol=1e-5)
    assert share.all()


def test_a_weight_for_each_sample_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"layer 'more' \(Parameter\) holds weights for each of 3 samples"):
        networks.load(tmp_path, PARAMETER.format(3) + REST, (3, 3, 8, 8))
