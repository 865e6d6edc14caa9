"""Whole networks must get the relevance that zennit (Anders et al. 2021) finds in their PyTorch twins.

Wants torch and zennit: `make peers`. Without them these tests are skipped, and say so.
"""

from pathlib import Path

import numpy as np
import pytest

from rationale.lrp import COMPOSITES, propagate
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks
from tests.conftest import ROOT
from tests.lrp.test_backward import NETWORKS

pytest.importorskip("torch", reason="torch is not installed: run `make peers` to compare with zennit")
pytest.importorskip("zennit", reason="zennit is not installed: run `make peers` to compare with it")

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


KINDS = ["LeNet", "CaffeNet-like", "ResNet with BatchNorm", "signed input, negative biases", "imagenet", "vgg16"]


@pytest.mark.parametrize("kind", KINDS)
def test_relevance_equals_zennits(kind: str, tmp_path: Path) -> None:
    """Per sample, the largest difference is at most 1e-4 of the largest relevance, for every composite."""
    network, batch = network_of(kind, tmp_path)
    twin = Twin(network).eval()
    bounds = (float(batch.min()) - 0.1, float(batch.max()) + 0.1)
    failures = []
    for name in NAMES:
        ours = propagate(network, batch, composite=name, bounds=bounds, keep=["data"])
        theirs = zennit_relevance(twin, batch, ours.targets, name, bounds)
        largest = np.abs(theirs).reshape(len(batch), -1).max(axis=1)
        apart = (np.abs(ours["data"] - theirs).reshape(len(batch), -1).max(axis=1) / largest).max()
        if not (apart <= 1e-4 and ours.ledger.largest_residual() < 1e-4):
            failures.append((name, float(apart), ours.ledger.largest_residual()))
    assert not failures
