"""Every definition under prototxt/ must load in Caffe and be explained, so that those who have weights can use it."""

from pathlib import Path

import numpy as np
import pytest

from rationale.lrp import propagate
from rationale.model import Model
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests.conftest import ROOT

DEFINITIONS = sorted(path.parent.name for path in ROOT.glob("prototxt/*/classifier.prototxt"))
# Channels at the layer before the scores, and classes, as published (or as our data sets have them).
SHAPES = {
    "caffenet": (4096, 1000),
    "cub": (512, 22),
    "flight": (512, 2),
    "googlenet": (1024, 1000),
    "imagenet": (512, 1000),
    "mnist": (500, 10),
    "resnet50": (2048, 1000),
    "vgg16": (4096, 1000),
}


def test_all_definitions_are_known_here() -> None:
    assert list(SHAPES) == DEFINITIONS


def random_weights(definition: Path, path: Path) -> Path:
    """What the fillers give, with the statistics of BatchNorm as after training on standard normal inputs."""
    caffe = pycaffe()
    caffe.set_random_seed(1)
    net = caffe.Net(str(definition), caffe.TEST)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            for blob, value in zip(layer.blobs, (0, 1, 1), strict=True):
                blob.data[...] = value
    net.save(str(path))
    return path


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_definition_loads_and_is_explained(name: str, tmp_path: Path) -> None:
    definition = ROOT / "prototxt" / name / "classifier.prototxt"
    network = Network.load(definition, random_weights(definition, tmp_path / "random.caffemodel"))
    (shape,) = network.inputs.values()
    batch = np.random.default_rng(0).normal(size=(1, *shape[1:])).astype(np.float32)
    # With random weights relevance grows large on its way; what must hold is each layer's account.
    found = propagate(network, batch, 1, composite="epsilon-plus-flat", keep=["data"])
    assert found["data"].shape == (1, *shape[1:])
    assert np.abs(found["data"]).max() > 0
    assert found.outputs.shape == (1, SHAPES[name][1])
    for entry in found.ledger:
        scale = np.abs(entry.received) + np.abs(entry.passed_on) + np.abs(entry.bias) + np.abs(entry.stabiliser)
        assert np.all(np.abs(entry.residual) <= 1e-3 * scale), entry.layer
    score = network.graph.below(network.graph.score_node())
    described = Model.load(name).description.output
    assert {described.target_layer or network.graph.score_node().name, described.feature_layer} <= set(
        network.graph.layer_names
    )
    channels = [network.parameters(node)[0].shape for node in score if node.parameter and network.parameters(node)]
    assert int(np.prod(channels[-1][1:])) == SHAPES[name][0]
