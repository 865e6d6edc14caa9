"""Deconvnet and guided gradient against their published definitions, written out in matrices."""

from pathlib import Path

import numpy as np
import pytest

from rationale.gradients.baselines import deconvolution, gradient, guided_backpropagation, rectified_gradient
from rationale.model import Model
from rationale.network import Network

DENSE = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 6 dim: 1 dim: 1 } } }
layer { name: "a" type: "InnerProduct" bottom: "x" top: "a" inner_product_param { num_output: 9 } }
layer { name: "r" type: "ReLU" bottom: "a" top: "%s" }
layer { name: "b" type: "InnerProduct" bottom: "%s" top: "b" inner_product_param { num_output: 7 } }
layer { name: "s" type: "ReLU" bottom: "b" top: "s" }
layer { name: "c" type: "InnerProduct" bottom: "s" top: "c" inner_product_param { num_output: 3 } }
"""


def network(folder: Path, relu_top: str) -> Network:
    path = folder / "net.prototxt"
    path.write_text(DENSE % (relu_top, relu_top))
    net = Network.load(path)
    random = np.random.default_rng(0)
    for name in "abc":
        for parameter in net.parameters(net.graph.node(name)):
            parameter[...] = random.normal(size=parameter.shape)
    return net


@pytest.mark.parametrize("relu_top", ["a", "r"], ids=["in place", "apart"])
@pytest.mark.parametrize("guided", [True, False])
def test_it_is_the_published_definition(tmp_path: Path, relu_top: str, guided: bool) -> None:
    """(f > 0) · (R > 0) · R at each ReLU for the guided gradient, (R > 0) · R for the deconvnet."""
    net = network(tmp_path, relu_top)
    batch = np.random.default_rng(1).normal(size=(4, 6, 1, 1)).astype(np.float32)
    net.forward(batch)
    (w1, b1), (w2, b2), (w3, _) = ([np.array(p) for p in net.parameters(net.graph.node(n))] for n in "abc")
    x = batch[:, :, 0, 0]
    first = np.maximum(x @ w1.T + b1, 0)
    second = np.maximum(first @ w2.T + b2, 0)
    seed = np.zeros((4, 3), np.float32)
    seed[:, 2] = 1

    def rectified(flow: np.ndarray, output: np.ndarray) -> np.ndarray:
        kept = np.maximum(flow, 0)
        return kept * (output > 0) if guided else kept

    expected = rectified(rectified(seed @ w3, second) @ w2, first) @ w1
    found = rectified_gradient(net, "c", seed, guided=guided)
    assert np.abs(expected).max() > 0.1
    assert np.allclose(found[:, :, 0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("method", [deconvolution, guided_backpropagation])
def test_where_nothing_is_negative_it_is_the_gradient_by_finite_differences(
    mnist_model: Model, digits: np.ndarray, method: object
) -> None:
    """With positive weights and biases every ReLU is open and every signal positive: nothing is left to rectify."""
    net = Network.load(mnist_model.description.files.classifier, mnist_model.description.files.weights)
    for name in ("conv1", "conv2", "ip1", "ip2"):
        for parameter in net.parameters(net.graph.node(name)):
            parameter[...] = np.abs(parameter)
    batch = mnist_model.preprocess([digits[0]])
    heatmap = method(net, batch, 3)[0]  # type: ignore[operator]
    assert np.allclose(heatmap, gradient(net, batch, 3)[0], rtol=1e-5)
    place = np.unravel_index(np.argmax(heatmap), heatmap.shape)
    step = 0.02
    scores = []
    for sign in (1, -1):
        moved = batch.copy()
        moved[0, 0, place[0], place[1]] += sign * step
        net.forward(moved)
        scores.append(float(net.activation("ip2")[0, 3]))
    assert (scores[0] - scores[1]) / (2 * step) == pytest.approx(float(heatmap[place]), rel=2e-2)


def test_it_differs_from_the_gradient_on_a_trained_network(mnist_model: Model, digits: np.ndarray) -> None:
    batch = mnist_model.preprocess([digits[0]])
    maps = [method(mnist_model.network, batch, 7) for method in (gradient, deconvolution, guided_backpropagation)]
    for one in range(3):
        for other in range(one):
            assert np.corrcoef(maps[one].ravel(), maps[other].ravel())[0, 1] < 0.99
