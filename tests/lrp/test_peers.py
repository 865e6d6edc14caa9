"""Whole networks must get the relevance that zennit (Anders et al. 2021) finds in their PyTorch twins.

Wants torch and zennit: `make peers`. Without them these tests are skipped, and say so.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from rationale.lrp import COMPOSITES, propagate
from rationale.lrp.rules import Rule, epsilon
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks
from tests.conftest import ROOT
from tests.lrp.test_backward import NETWORKS

if not all(find_spec(name) for name in ("torch", "zennit")):
    pytest.skip("torch and zennit are not installed: run `make peers` to compare with zennit", allow_module_level=True)

from benchmarks.peers import Twin, zennit_relevance

NAMES = [name for name in COMPOSITES if name != "lrp-0"]  # 0/0 is 0 here and NaN there

CAFFENET_LIKE = (
    networks.convolution("conv1", "data", 8, 5, "stride: 2")
    + networks.relu("relu1", "conv1")
    + networks.layer("pool1", "Pooling", "conv1", more="pooling_param { pool: MAX kernel_size: 3 stride: 2 }")
    + networks.layer("norm1", "LRN", "pool1", more="lrn_param { local_size: 5 alpha: 0.0001 beta: 0.75 }")
    + networks.convolution("conv2", "norm1", 12, 3, "pad: 1 group: 2")
    + networks.relu("relu2", "conv2")
    + networks.layer("norm2", "LRN", "conv2", more="lrn_param { local_size: 5 alpha: 0.1 beta: 0.75 }")
    + networks.dense("fc6", "norm2", 20)
    + networks.relu("relu6", "fc6")
    + networks.layer("drop6", "Dropout", "fc6", "fc6")
    + networks.dense("score", "fc6", 7)
)


def negative_biases(network: Network) -> None:
    for node in network.graph.nodes:
        for bias in network.parameters(node)[1:]:
            bias[...] = -np.abs(bias)


def network_of(kind: str, folder: Path) -> tuple[Network, np.ndarray]:
    """A network with random weights (LeNet: the trained ones) and a batch for it."""
    pycaffe().set_random_seed(5)
    if kind == "LeNet":
        model = ROOT / "prototxt" / "mnist" / "classifier.prototxt"
        network = Network.load(model, ROOT / "weights" / "mnist" / "classifier.caffemodel")
        return network, np.abs(networks.batch_for(network, 4))
    if kind == "CaffeNet-like":
        network = networks.load(folder, CAFFENET_LIKE, (1, 3, 37, 37))
    elif kind == "ResNet with BatchNorm":
        network = networks.load(folder, NETWORKS["residual with BatchNorm"].replace("coeff: 1 coeff: 0.5", ""))
    elif kind == "signed input, negative biases":
        network = networks.load(folder, CAFFENET_LIKE, (1, 3, 37, 37))
        negative_biases(network)
    else:
        network = Network.load(ROOT / "prototxt" / kind / "classifier.prototxt")
    count = 1 if kind == "vgg16" else 3
    return network, networks.batch_for(network, count, seed=3)


DEEP = ["imagenet", "vgg16"]
KINDS = ["LeNet", "CaffeNet-like", "ResNet with BatchNorm", "signed input, negative biases", *DEEP]


def of_weights(network: Network, rule: Rule) -> dict[str, Rule]:
    """The rule for every kind of layer with weights; pools and sums keep theirs, as zennit's do."""
    types = {node.type for node in network.graph.nodes} & {"Convolution", "InnerProduct"}
    return {f"type:{each}": rule for each in types}


@pytest.mark.parametrize("kind", KINDS)
def test_relevance_equals_zennits(kind: str, tmp_path: Path) -> None:
    """Per sample, the largest difference is at most 1e-4 of the largest relevance, for every composite.

    zennit computes in float64, and its ReLU and max pooling decide as Caffe's did: among millions of units some are so
    close to zero, or to the next, that the last bit decides. For the same reason the two deepest networks get the
    composite `epsilon` with ε = 0.01: at 1e-6, below the rounding of their activations, zennit in float32 is up to 4e-2
    away from itself in float64.
    """
    network, batch = network_of(kind, tmp_path)
    twin = Twin(network).eval().double()
    bounds = (float(batch.min()) - 0.1, float(batch.max()) + 0.1)
    failures = []
    for name in NAMES:
        composite = COMPOSITES[name]
        if name == "epsilon" and kind in DEEP:
            name, composite = "epsilon 0.01", composite.with_layers(of_weights(network, epsilon(0.01)))
        ours = propagate(network, batch, composite=composite, bounds=bounds, keep=["data"])
        twin.take_decisions(network)
        theirs = zennit_relevance(twin, batch.astype(np.float64), ours.targets, name, bounds)
        largest = np.abs(theirs).reshape(len(batch), -1).max(axis=1)
        apart = (np.abs(ours["data"] - theirs).reshape(len(batch), -1).max(axis=1) / largest).max()
        if not (apart <= 1e-4 and ours.ledger.largest_residual() < 1e-4):
            failures.append((name, float(apart), ours.ledger.largest_residual()))
    assert not failures
