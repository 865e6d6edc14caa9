"""Sanity checks: a heatmap must change when the network, its labels or the asked class do (Adebayo et al. 2018)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from skimage.metrics import structural_similarity

from rationale.errors import NetworkError, OptionError
from rationale.network import Network, kind

Array = NDArray[np.float32]


def layers_with_weights(network: Network) -> list[str]:
    """Names of the layers that hold weights (BatchNorm's statistics are none), from the score down."""
    nodes = reversed(network.graph.nodes)
    return [node.name for node in nodes if node.parameter and kind(node.type).learnt(node.parameter)]


@contextmanager
def randomised(network: Network, layers: Sequence[str], seed: int = 0) -> Iterator[Network]:
    """The network with the weights of these layers drawn anew, as large as they were; restored afterwards.

    Raises:
        NetworkError: there is no such layer, or it has no weights.
    """
    random = np.random.default_rng(seed)
    nodes = [network.graph.node(name) for name in layers]
    for node in nodes:
        if not network.parameters(node):
            raise NetworkError(f"layer {node.name!r} has no weights")
    kept = [array.copy() for node in nodes for array in network.parameters(node)]
    network.derived.clear()
    for node in nodes:
        for array in network.parameters(node):
            array[...] = random.standard_normal(array.shape, np.float32) * np.sqrt(np.mean(array**2))
    try:
        yield network
    finally:
        before = iter(kept)
        for node in nodes:
            for array in network.parameters(node):  # asked for again: a card must be told that they change
                array[...] = next(before)
        network.derived.clear()


def model_randomisation(
    network: Network, heatmaps: Callable[[], Array], *, seed: int = 0, depths: int | None = None
) -> Mapping[str, NDArray[np.float64]]:
    """Randomises the network from the score downwards, layer upon layer, and compares each time with the original.

    Args:
        network: the classifier.
        heatmaps: makes the heatmaps of always the same batch and classes with it, (N, H, W).
        seed: of the weights.
        depths: after how many layers heatmaps are compared, the first and the last always; after each where None.

    Returns:
        By layer, in the order of randomisation, |ρ| (see `rank_correlation`) of each sample, (N,): a heatmap that only
        changed its sign, as where a random network gives a negative score, is the same heatmap.
    """
    original = heatmaps()
    found = {}
    layers = layers_with_weights(network)
    for last in np.unique(np.linspace(0, len(layers) - 1, depths or len(layers)).astype(int)):
        with randomised(network, layers[: last + 1], seed):
            found[layers[last]] = np.abs(rank_correlation(original, heatmaps()))
    return found


def rank_correlation(one: Array, other: Array) -> NDArray[np.float64]:
    """Spearman's ρ between two heatmaps of each sample, (N,); 0 where one of them is constant.

    Raises:
        OptionError: the maps differ in shape, or hold NaN or infinity.
    """
    check_maps(one, other)
    first, second = (rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other))
    first -= first.mean(axis=1, keepdims=True)
    second -= second.mean(axis=1, keepdims=True)
    lengths = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    products = (first * second).sum(axis=1)
    return np.asarray(np.divide(products, lengths, out=np.zeros(len(one)), where=lengths > 0))


def structural_similarities(one: Array, other: Array) -> NDArray[np.float64]:
    """SSIM (Wang et al. 2004) between two heatmaps of each sample, each scaled to a magnitude of at most 1, (N,).

    Raises:
        OptionError: the maps differ in shape, hold NaN or infinity, or are less than 3 pixels wide or high.
    """
    check_maps(one, other)
    window = min(7, (min(one.shape[1:]) - 1) // 2 * 2 + 1)
    if window < 3:
        raise OptionError(f"heatmaps of {one.shape[1]} × {one.shape[2]} are too small for SSIM")
    pairs = zip(_scaled(one), _scaled(other), strict=True)
    return np.array([structural_similarity(*pair, data_range=2.0, win_size=window) for pair in pairs])


def check_maps(*maps: NDArray[np.floating]) -> None:
    """Refuses heatmaps that are not all finite and of one shape (N, H, W).

    Raises:
        OptionError: they are not.
    """
    if any(each.ndim != 3 or each.shape != maps[0].shape for each in maps):
        raise OptionError(f"heatmaps must be (N, H, W) alike, not {', '.join(str(each.shape) for each in maps)}")
    if not all(np.isfinite(each).all() for each in maps):
        raise OptionError("heatmaps hold NaN or infinity")


def _scaled(maps: Array) -> Array:
    largest = np.abs(maps).max(axis=(1, 2), keepdims=True)
    return np.asarray(maps / np.where(largest > 0, largest, 1))
