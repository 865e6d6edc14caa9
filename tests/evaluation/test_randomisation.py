"""Sanity checks must pass heatmaps that listen to the network, and catch those that do not."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from rationale.errors import NetworkError, OptionError
from rationale.evaluation.randomisation import (
    layers_with_weights,
    model_randomisation,
    randomised,
    rank_correlation,
    structural_similarities,
)
from rationale.gradients import baselines
from rationale.lrp import propagate
from rationale.network import Network
from tests import networks
from tests.gradients.test_baselines import LAYERS


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return networks.load(tmp_path, LAYERS, (1, 2, 9, 8))


def test_weights_come_back_whatever_happens(network: Network) -> None:
    batch = networks.batch_for(network, 2)
    before = propagate(network, batch, 1, composite="epsilon-plus")["data"]
    with randomised(network, ["conv2", "score"]):
        assert np.any(propagate(network, batch, 1, composite="epsilon-plus")["data"] != before)
    with pytest.raises(ZeroDivisionError), randomised(network, ["conv2", "score"]):
        raise ZeroDivisionError
    np.testing.assert_array_equal(propagate(network, batch, 1, composite="epsilon-plus")["data"], before)


def test_layers_are_randomised_from_the_score_down(network: Network) -> None:
    assert layers_with_weights(network) == ["score", "conv2", "conv1"]
    with pytest.raises(NetworkError, match="no weights"), randomised(network, ["relu1"]):
        pass


def test_a_heatmap_that_ignores_the_network_is_caught(network: Network) -> None:
    batch = networks.batch_for(network, 4)
    deaf = model_randomisation(network, partial(baselines.edges, network, batch, 1))
    listening = model_randomisation(network, partial(baselines.gradient_times_input, network, batch, 1))
    assert list(deaf) == ["score", "conv2", "conv1"]
    assert all((found == 1).all() for found in deaf.values())
    twice = model_randomisation(network, partial(baselines.gradient_times_input, network, batch, 1), depths=2)
    assert list(twice) == ["score", "conv1"]
    np.testing.assert_array_equal(twice["conv1"], listening["conv1"])
    assert np.abs(listening["conv1"]).mean() < 0.5


def test_rank_correlation_is_spearmans() -> None:
    one, other = np.random.default_rng(1).normal(size=(2, 3, 5, 4)).round(1)
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, other, strict=True)]
    np.testing.assert_allclose(rank_correlation(one, other), expected, rtol=1e-9)
    np.testing.assert_allclose(rank_correlation(one, one), 1)
    assert (rank_correlation(one, np.zeros_like(one)) == 0).all()


def test_ssim_is_one_for_the_same_map_at_another_scale() -> None:
    maps = np.random.default_rng(2).normal(size=(2, 12, 12)).astype(np.float32)
    np.testing.assert_allclose(structural_similarities(maps, 3 * maps), 1, rtol=1e-5)
    assert (structural_similarities(maps, -maps) < 0.9).all()
    with pytest.raises(OptionError, match="too small"):
        structural_similarities(maps[:, :2], maps[:, :2])


def test_maps_that_are_not_numbers_are_never_alike() -> None:
    maps = np.ones((2, 8, 8), np.float32)
    broken = maps.copy()
    broken[1, 2, 3] = np.nan
    for compare in (rank_correlation, structural_similarities):
        with pytest.raises(OptionError, match="NaN"):
            compare(maps, broken)


def test_statistics_of_batch_normalisation_are_not_drawn_anew(tmp_path: Path) -> None:
    body = networks.layer("norm", "BatchNorm", "data") + networks.dense("score", "norm", 3)
    network = networks.load(tmp_path, body)
    assert layers_with_weights(network) == ["score"]
