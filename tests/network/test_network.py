"""Network must run any batch, give true gradients from any layer, and leave nothing behind in branches."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rationale.errors import DeviceError, NetworkError
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from tests import networks

PLAIN = (
    networks.convolution("conv1", "data", 4, 3)
    + networks.relu("relu1", "conv1")
    + networks.convolution("conv2", "conv1", 5, 3)
    + networks.layer("scaled", "Scale", "conv2", "conv2", "scale_param { filler { value: 2 } bias_term: true }")
    + networks.layer("sigmoid", "Sigmoid", "conv2", "conv2")
    + networks.dense("score", "conv2", 3)
    + networks.layer("prob", "Softmax", "score")
)

BRANCHES = (
    networks.convolution("stem", "data", 4, 3, "pad: 1")
    + networks.relu("relu", "stem")
    + networks.convolution("left", "stem", 3, 1)
    + networks.convolution("right", "stem", 3, 3, "pad: 1")
    + networks.layer("both", "Concat", "left right")
    + networks.layer("again", "Eltwise", "left right")
    + networks.dense("score", "both", 3)
    + networks.dense("other", "again", 3)
)


def finite_difference(network: Network, batch: np.ndarray, name: str, unit: tuple[int, ...]) -> np.ndarray:
    """Central differences of the summed unit with respect to the input."""
    gradient = np.zeros(batch.shape)
    for place in np.ndindex(batch.shape):
        values = []
        for step in (1e-2, -1e-2):
            moved = batch.copy()
            moved[place] += step
            network.forward(moved)
            values.append(network.activation(name)[(place[0], *unit)].sum(dtype=np.float64))
        gradient[place] = (values[0] - values[1]) / 2e-2
    return gradient


def test_batches_of_any_size_give_the_same_scores(tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    batch = networks.batch_for(network, 7)
    whole = network.forward(batch)["prob"]
    for size in (1, 3, 7, 2):
        np.testing.assert_allclose(network.forward(batch[:size])["prob"], whole[:size], rtol=1e-5)


def test_a_batch_that_does_not_fit_leaves_the_network_usable(tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    batch = networks.batch_for(network, 2)
    before = network.forward(batch)["prob"]
    for wrong, message in (
        (batch[:, :2], r"wants \(N, 3, 8, 8\)"),
        (np.zeros((2, 3, 9, 9), np.float32), "does not fit"),
        (batch[0], "wants"),
        (np.where(batch > 2, np.nan, batch), "NaN"),
        (np.full_like(batch, np.inf), "infinity"),
        (batch.astype(str), "float32"),
        ({"elsewhere": batch}, "the inputs are data"),
    ):
        with pytest.raises(NetworkError, match=message):
            network.forward(wrong)
    np.testing.assert_array_equal(network.forward(batch)["prob"], before)


@pytest.mark.parametrize(("layer", "unit"), [("score", (1,)), ("sigmoid", (2, 1, 3)), ("conv2", (0,)), ("prob", (0,))])
def test_gradients_equal_finite_differences(layer: str, unit: tuple[int, ...], tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    batch = networks.batch_for(network, 1)
    network.forward(batch)
    gradient = network.backward(layer, unit=unit)["data"]
    expected = finite_difference(network, batch, layer, unit)
    # A ReLU's kink within the step costs a little at a few places.
    assert np.median(np.abs(gradient - expected)) < 1e-3 * np.abs(expected).max()
    assert np.corrcoef(gradient.ravel(), expected.ravel())[0, 1] > 0.99


def test_a_backward_pass_through_one_branch_ignores_what_others_left(tmp_path: Path) -> None:
    network = networks.load(tmp_path, BRANCHES)
    batch = networks.batch_for(network, 2)
    network.forward(batch)
    fresh = network.backward("left", unit=1)["data"]
    network.backward("score", unit=0)
    network.backward("right", unit=2)
    network.backward("other", unit=1)
    np.testing.assert_array_equal(network.backward("left", unit=1)["data"], fresh)


def test_a_backward_pass_costs_no_weight_gradients(tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    network.forward(networks.batch_for(network, 2))
    network.backward("score", unit=0)
    gradients = [np.abs(blob.diff).max() for layer in network.net.layers for blob in layer.blobs]
    assert max(gradients) == 0
    assert np.abs(network.gradient_at("conv1")).max() > 0


def test_an_input_read_twice_gets_the_gradient_of_both(tmp_path: Path) -> None:
    body = networks.dense("a", "data", 2) + networks.dense("b", "data", 2) + networks.layer("score", "Eltwise", "a b")
    network = networks.load(tmp_path, body)
    network.forward(networks.batch_for(network, 1))
    a, b = (network.parameters(network.graph.node(name))[0][1] for name in "ab")
    np.testing.assert_allclose(network.backward("score", unit=1)["data"].ravel(), a + b, rtol=1e-5)


def test_an_input_that_does_not_matter_has_no_gradient(tmp_path: Path) -> None:
    body = 'layer { name: "more" type: "Input" top: "more" input_param { shape { dim: 1 dim: 2 } } }\n'
    body += networks.dense("s", "data", 2) + networks.dense("t", "more", 2)
    network = networks.load(tmp_path, body)
    network.forward({"data": np.ones((1, 3, 8, 8), np.float32), "more": np.ones((1, 2), np.float32)})
    assert network.backward("s", unit=0)["data"].any()
    assert not network.backward("t", unit=0)["data"].any()
    with pytest.raises(NetworkError, match="did not come to 's'"):
        network.gradient_at("s")


@pytest.mark.parametrize("type_", ["TanH", "ELU", "LRN", "Sigmoid"])
def test_a_relu_in_place_over_a_layer_that_needs_its_output(type_: str, tmp_path: Path) -> None:
    under = networks.layer("under", type_, "data")
    after = networks.dense("score", "%s", 2)
    one = networks.load(tmp_path, under + networks.relu("relu", "under") + after % "under")
    (tmp_path / "two").mkdir()
    two = networks.load(tmp_path / "two", under + networks.layer("relu", "ReLU", "under") + after % "relu")
    batch = networks.batch_for(one, 2)
    for network in (one, two):
        network.forward(batch)
    gradient = np.random.default_rng(1).normal(size=one.shape("under")).astype(np.float32)
    found, expected = (network.backward("under", gradient=gradient)["data"] for network in (one, two))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_outputs_keep_the_users_names(tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.dense("s", "data", 2) + networks.layer("p", "Sigmoid", "s", "s"))
    (name,) = network.forward(networks.batch_for(network, 1))
    assert name == "s"


def test_numbers_that_overflow_are_an_error_and_do_no_harm(tmp_path: Path) -> None:
    pool = "pooling_param { pool: MAX kernel_size: 2 stride: 2 }"
    body = networks.convolution("conv", "data", 4, 3) + networks.layer("pool", "Pooling", "conv", more=pool)
    network = networks.load(tmp_path, body + networks.dense("score", "pool", 2))
    batch = networks.batch_for(network, 2)
    weights = network.parameters(network.graph.node("conv"))[0]
    sound = weights.copy()
    weights *= np.float32(1e38)
    for _ in range(3):
        with pytest.raises(NetworkError, match="NaN or infinity"):
            network.forward(batch * 100)
        network.backward("score", unit=0)
    weights[...] = sound
    assert np.isfinite(network.forward(batch)["score"]).all()


def test_a_forked_child_can_work(tmp_path: Path) -> None:
    path = tmp_path / "network.prototxt"
    networks.load(tmp_path, PLAIN)
    code = f"""
import os, numpy as np
from rationale.network import Network
network = Network.load({str(path)!r})
batch = np.ones((64, 3, 8, 8), np.float32)
first = network.forward(batch)["prob"]
child = os.fork()
if child == 0:
    os._exit(0 if np.allclose(network.forward(batch)["prob"], first) else 1)
print(os.waitpid(child, 0)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "0"


def test_values_before_an_in_place_layer_are_kept(tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    network.forward(networks.batch_for(network, 2))
    before, scaled, after = (network.activation(name) for name in ("conv2", "scaled", "sigmoid"))
    np.testing.assert_allclose(scaled, 2 * before, rtol=1e-5)
    np.testing.assert_allclose(after, 1 / (1 + np.exp(-scaled)), rtol=1e-4)


def test_the_rewritten_network_computes_what_the_users_file_says(tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    weights = tmp_path / "weights.caffemodel"
    network.net.save(str(weights))
    caffe = pycaffe()
    original = caffe.Net(str(tmp_path / "network.prototxt"), caffe.TEST, weights=str(weights))
    batch = networks.batch_for(network, 1)
    original.blobs["data"].data[...] = batch
    np.testing.assert_array_equal(original.forward()["prob"], network.forward(batch)["prob"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "nothing", "unit": 0}, "no layer is named 'nothing'"),
        ({"layer": "score", "unit": 3}, "no unit 3"),
        ({"layer": "conv1", "unit": (0, 9, 0)}, "no unit"),
        ({"layer": "score"}, "either a unit or a gradient"),
        ({"layer": "score", "gradient": np.zeros((1, 9), np.float32)}, "puts out"),
    ],
)
def test_a_start_that_does_not_exist_is_an_error(arguments: dict, message: str, tmp_path: Path) -> None:
    network = networks.load(tmp_path, PLAIN)
    network.forward(networks.batch_for(network, 1))
    with pytest.raises(NetworkError, match=message):
        network.backward(**arguments)


def test_the_graph_is_in_order_with_splits_and_in_place_layers(tmp_path: Path) -> None:
    graph = networks.load(tmp_path, BRANCHES).graph
    assert graph.layer_names == ["data", "stem", "relu", "left", "right", "both", "again", "score", "other"]
    assert [node.type for node in graph.nodes].count("Split") == 3
    assert graph.node("relu").in_place
    below = [node.name for node in graph.below(graph.node("left")) if node.parameter is not None]
    assert below == ["data", "stem", "relu", "left"]


def test_the_score_layer_is_found_or_asked_for(tmp_path: Path) -> None:
    assert networks.load(tmp_path, PLAIN).graph.score_node().name == "score"
    with pytest.raises(NetworkError, match="name the target layer"):
        networks.load(tmp_path, BRANCHES).graph.score_node()


def test_a_gpu_without_cuda_is_refused_clearly(tmp_path: Path) -> None:
    from rationale.network.device import has_cuda

    if has_cuda():
        pytest.skip("this Caffe has CUDA")
    networks.load(tmp_path, PLAIN)
    with pytest.raises(DeviceError, match="built for the CPU"):
        Network.load(tmp_path / "network.prototxt", gpu=0)


def test_weights_under_a_name_that_is_no_utf8_are_one_line(tmp_path: Path) -> None:
    network = networks.load(tmp_path, networks.dense("score", "data", 2))
    network.net.save(str(tmp_path / "some.caffemodel"))
    strange = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.caffemodel"))
    (tmp_path / "some.caffemodel").rename(strange)
    with pytest.raises(NetworkError, match="cannot be told a name that is not UTF-8"):
        Network.load(tmp_path / "network.prototxt", strange)
