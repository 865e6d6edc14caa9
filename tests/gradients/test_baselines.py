"""The peers of LRP must be what their papers say, or comparisons with them mean nothing."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError, RuleError
from rationale.gradients import baselines
from rationale.network import Network
from tests import networks

LAYERS = (
    networks.convolution("conv1", "data", 4, 3, "pad: 1")
    + networks.relu("relu1", "conv1")
    + networks.convolution("conv2", "conv1", 5, 3, "stride: 2")
    + networks.relu("relu2", "conv2")
    + networks.dense("score", "conv2", 3)
)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return networks.load(tmp_path, LAYERS, (1, 2, 9, 8))


@pytest.fixture
def batch(network: Network) -> np.ndarray:
    return networks.batch_for(network, 3)


def score_of(network: Network, batch: np.ndarray, classes: list[int]) -> np.ndarray:
    return baselines.scores(network, batch)[np.arange(len(batch)), classes]


def test_the_gradient_is_what_small_steps_find(network: Network, batch: np.ndarray) -> None:
    found = baselines.score_gradient(network, batch, [0, 2, 1])
    for place in [(0, 3, 4), (1, 8, 0), (1, 0, 7)]:
        step = np.zeros_like(batch)
        step[(slice(None), *place)] = 1e-2
        slope = (score_of(network, batch + step, [0, 2, 1]) - score_of(network, batch - step, [0, 2, 1])) / 2e-2
        np.testing.assert_allclose(found[(slice(None), *place)], slope, rtol=0.05, atol=2e-3)
    np.testing.assert_array_equal(baselines.gradient(network, batch, [0, 2, 1]), np.abs(found).max(axis=1))
    products = baselines.gradient_times_input(network, batch, [0, 2, 1])
    np.testing.assert_allclose(products, (batch * found).sum(axis=1), rtol=1e-5)


def test_the_predicted_class_is_explained_unless_another_is_named(network: Network, batch: np.ndarray) -> None:
    predicted = baselines.scores(network, batch).argmax(axis=1)
    for make in baselines.BASELINES.values():
        np.testing.assert_array_equal(make(network, batch), make(network, batch, predicted))


def test_smooth_gradient_without_noise_is_the_gradient(network: Network, batch: np.ndarray) -> None:
    smooth = baselines.smooth_gradient(network, batch, 1, samples=3, noise=0)
    np.testing.assert_allclose(smooth, baselines.gradient(network, batch, 1), rtol=1e-5)


def test_smooth_gradient_repeats_and_follows_its_seed(network: Network, batch: np.ndarray) -> None:
    first, again = (baselines.smooth_gradient(network, batch, 1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != baselines.smooth_gradient(network, batch, 1, seed=4))


@pytest.mark.parametrize("reference", [0.0, -0.5])
def test_integrated_gradients_add_up_to_the_difference(network: Network, batch: np.ndarray, reference: float) -> None:
    found = baselines.integrated_gradients(network, batch, 2, reference=reference, steps=400)
    expected = score_of(network, batch, [2] * 3) - score_of(network, np.full_like(batch, reference), [2] * 3)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), expected, rtol=0.01, atol=2e-3)


def test_grad_cam_weighs_maps_by_their_mean_gradient(network: Network, batch: np.ndarray) -> None:
    baselines.scores(network, batch)
    maps = network.activation("conv2")
    weights = network.parameters(network.graph.node("score"))[0].reshape(3, *maps.shape[1:])
    expected = np.maximum((weights[1].mean(axis=(1, 2))[None, :, None, None] * maps).sum(axis=1), 0)
    found = baselines.grad_cam(network, batch, 1)
    assert found.shape == (3, 9, 8)
    np.testing.assert_allclose(found.max(axis=(1, 2)), expected.max(axis=(1, 2)), rtol=0.2, atol=1e-6)
    corners = [found[:, 0, 0], found[:, -1, -1]]
    for got, wanted in zip(corners, [expected[:, 0, 0], expected[:, -1, -1]], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)


def test_grad_cam_of_a_layer_without_places_is_an_error(network: Network, batch: np.ndarray) -> None:
    with pytest.raises(NetworkError, match="score"):
        baselines.grad_cam(network, batch, layer="score")


def test_occlusion_is_the_fall_of_the_score(network: Network, batch: np.ndarray) -> None:
    found = baselines.occlusion(network, batch, 0, window=9, stride=9, filling=0.3)
    covered = np.full_like(batch, 0.3)
    fall = score_of(network, batch, [0] * 3) - score_of(network, covered, [0] * 3)
    np.testing.assert_allclose(found, np.broadcast_to(fall[:, None, None], found.shape), rtol=1e-4, atol=1e-5)


def test_occlusion_reaches_every_pixel(network: Network, batch: np.ndarray) -> None:
    assert np.isfinite(baselines.occlusion(network, batch, window=4, stride=3)).all()


def test_edges_and_noise_do_not_ask_the_network(network: Network, batch: np.ndarray) -> None:
    for make in (baselines.edges, baselines.random_heatmaps):
        np.testing.assert_array_equal(make(network, batch, 0), make(network, batch, 2))


def test_a_class_that_does_not_exist_is_an_error(network: Network, batch: np.ndarray) -> None:
    with pytest.raises(RuleError, match="out of range"):
        baselines.gradient(network, batch, 3)
