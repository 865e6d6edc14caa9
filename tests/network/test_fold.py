"""Folding BatchNorm and Scale must not change what a network computes."""

from pathlib import Path

import numpy as np
import pytest

from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks

NORM = "batch_norm_param { eps: 0.001 }"
SCALE = 'scale_param { bias_term: true filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } }'


def chain(in_place: bool, scale: bool, linear: str, bias: str) -> str:
    """Layer → BatchNorm (→ Scale) → ReLU → dense layer, in place or not."""
    body = linear % bias
    top = "first" if in_place else "norm"
    body += networks.layer("norm", "BatchNorm", "first", top, NORM)
    if scale:
        after = "first" if in_place else "scale"
        body += networks.layer("scale", "Scale", top, after, SCALE)
        top = after
    return body + networks.relu("relu", top) + networks.dense("score", top, 3)


CONVOLUTION = networks.convolution("first", "data", 4, 3, "bias_term: %s")
DENSE = networks.dense("first", "data", 6, "bias_term: %s")


def with_statistics(folder: Path, body: str) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """Paths of a network and of its weights with true BatchNorm statistics, a batch, and its scores by Caffe alone."""
    path = folder / "network.prototxt"
    path.write_text(networks.definition(body))
    caffe = pycaffe()
    caffe.set_random_seed(2)
    net = caffe.Net(str(path), caffe.TEST)
    random = np.random.default_rng(1)
    for name, blobs in net.params.items():
        if name.startswith("norm"):
            blobs[0].data[...] = random.normal(size=blobs[0].data.shape) * 40
            blobs[1].data[...] = random.uniform(0.5, 4, size=blobs[1].data.shape) * 40
            blobs[2].data[...] = 40
    weights = folder / "weights.caffemodel"
    net.save(str(weights))
    batch = random.normal(size=(1, 3, 8, 8)).astype(np.float32)
    net.blobs["data"].data[...] = batch
    net.forward()
    return path, weights, batch, net.blobs["score"].data.copy()


@pytest.mark.parametrize("bias", ["true", "false"])
@pytest.mark.parametrize("linear", [CONVOLUTION, DENSE], ids=["convolution", "dense"])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("in_place", [True, False])
def test_predictions_stay(in_place: bool, scale: bool, linear: str, bias: str, tmp_path: Path) -> None:
    path, weights, batch, expected = with_statistics(tmp_path, chain(in_place, scale, linear, bias))
    network = Network.load(path, weights)
    assert not {"BatchNorm", "Scale"} & {node.type for node in network.graph.nodes}
    found = network.forward(batch)["score"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    # The names of what was folded lead to where it went.
    np.testing.assert_array_equal(network.activation("norm"), network.activation("first"))


def test_shared_weights_with_different_statistics(tmp_path: Path) -> None:
    shared = 'param { name: "w" } param { name: "b" }'
    body = ""
    for side in ("left", "right"):
        body += networks.convolution(side, "data", 4, 3).replace("convolution_param", f"{shared} convolution_param")
        body += networks.layer(f"norm_{side}", "BatchNorm", side, more=NORM)
    body += networks.layer("both", "Eltwise", "norm_left norm_right") + networks.dense("score", "both", 3)
    path, weights, batch, expected = with_statistics(tmp_path, body)
    found = Network.load(path, weights).forward(batch)["score"]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize(
    "body",
    [
        # before the layer with weights
        networks.layer("norm", "BatchNorm", "data", more=NORM) + networks.dense("score", "norm", 3),
        # what goes into BatchNorm is read elsewhere too
        networks.convolution("first", "data", 4, 3)
        + networks.layer("norm", "BatchNorm", "first", more=NORM)
        + networks.layer("both", "Eltwise", "first norm")
        + networks.dense("score", "both", 3),
    ],
    ids=["before", "read twice"],
)
def test_what_cannot_be_folded_stays(body: str, tmp_path: Path) -> None:
    path, weights, batch, expected = with_statistics(tmp_path, body)
    network = Network.load(path, weights)
    assert "BatchNorm" in {node.type for node in network.graph.nodes}
    np.testing.assert_allclose(network.forward(batch)["score"], expected, rtol=1e-4, atol=1e-5)
