"""Pixel flipping must reward heatmaps that know what the network looks at, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import OptionError
from rationale.evaluation.flipping import FILLINGS, flip
from rationale.network import Network
from tests import networks


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A linear classifier: the score of class 0 is the sum of what each pixel gives."""
    return networks.load(tmp_path, networks.dense("score", "data", 2), (1, 1, 6, 6))


@pytest.fixture
def batch(network: Network) -> np.ndarray:
    return networks.batch_for(network, 4)


def contributions(network: Network, batch: np.ndarray) -> np.ndarray:
    weights = network.parameters(network.graph.node("score"))[0][0].reshape(6, 6)
    return np.asarray(batch[:, 0] * weights)


def falls(network: Network, batch: np.ndarray, maps: np.ndarray, **more: object) -> np.ndarray:
    how = {"region": 1, "steps": 36, "measure": "score", **more}
    return flip(network, batch, maps, np.zeros(len(batch), int), **how).aopc()


def test_the_true_contributions_fall_fastest(network: Network, batch: np.ndarray) -> None:
    truth = contributions(network, batch)
    best = falls(network, batch, truth)
    for seed in range(5):
        other = np.random.default_rng(seed).random(truth.shape, np.float32)
        assert (best > falls(network, batch, other)).all()
    assert (falls(network, batch, truth, order="LeRF") < 0).any()


def test_each_step_takes_away_what_the_covered_pixels_gave(network: Network, batch: np.ndarray) -> None:
    truth = contributions(network, batch)
    curves = flip(network, batch, truth, np.zeros(4, int), region=1, steps=36, measure="score").curves
    taken = np.sort(truth.reshape(4, -1))[:, ::-1].cumsum(axis=1)
    np.testing.assert_allclose(curves[:, 1:], curves[:, :1] - taken, rtol=1e-4, atol=1e-4)


def test_least_relevant_first_is_the_other_order(network: Network, batch: np.ndarray) -> None:
    truth = contributions(network, batch)
    np.testing.assert_allclose(
        falls(network, batch, truth, order="LeRF"), falls(network, batch, -truth, order="MoRF"), rtol=1e-4
    )


def test_ties_are_broken_by_lot(network: Network, batch: np.ndarray) -> None:
    flat = np.zeros((4, 6, 6), np.float32)
    first, second = (falls(network, batch, flat, seed=seed, up_to=0.5) for seed in (0, 1))
    assert np.any(first != second)


def test_regions_that_do_not_divide_the_picture_are_covered_whole(network: Network, batch: np.ndarray) -> None:
    found = flip(network, batch, contributions(network, batch), np.zeros(4, int), region=4, steps=4, measure="score")
    bias = network.parameters(network.graph.node("score"))[1][0]
    np.testing.assert_allclose(found.curves[:, -1], bias, atol=1e-5)
    assert found.covered[-1] == 1


@pytest.mark.parametrize("name", FILLINGS)
def test_fillings_are_the_same_for_every_heatmap_and_stay_in_range(name: str, batch: np.ndarray) -> None:
    first, again = (FILLINGS[name](batch, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == batch.shape
    assert first.dtype == np.float32
    low, high = min(batch.min(), 0), max(batch.max(), 0)
    assert low <= first.min()
    assert first.max() <= high
    assert np.any(first != batch)


@pytest.mark.parametrize(
    "wrong", [{"order": "random"}, {"filling": "pink"}, {"measure": "loss"}], ids=["order", "filling", "measure"]
)
def test_an_unknown_option_is_an_error_that_lists_the_known(
    network: Network, batch: np.ndarray, wrong: dict[str, str]
) -> None:
    with pytest.raises(OptionError, match="there are"):
        falls(network, batch, batch[:, 0], **wrong)


def test_heatmaps_of_another_size_or_with_nan_are_an_error(network: Network, batch: np.ndarray) -> None:
    with pytest.raises(OptionError, match="shape"):
        falls(network, batch, batch[:2, 0])
    with pytest.raises(OptionError, match="finite"):
        falls(network, batch, np.full((4, 6, 6), np.nan, np.float32))


def test_the_probability_of_a_label_is_its_own(tmp_path: Path) -> None:
    """A softmax over labels that are true at once would follow what happens to the others."""
    network = networks.load(tmp_path, networks.dense("score", "data", 1) + networks.layer("prob", "Sigmoid", "score"))
    batch = networks.batch_for(network, 2)
    curves = flip(network, batch, np.zeros((2, 8, 8), np.float32), np.zeros(2, int), region=4, steps=1).curves
    np.testing.assert_allclose(curves[:, 0], network.forward(batch)["prob"][:, 0], rtol=1e-5)
