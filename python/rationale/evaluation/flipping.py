"""Pixel flipping: cover the most relevant regions first, and see how fast the decision falls.

Bach et al. 2015 (pixel flipping); Samek et al. 2017, "Evaluating the visualization of what a deep neural network has
learned" (region perturbation, AOPC, eq. 12).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from rationale.errors import OptionError
from rationale.gradients.baselines import scores
from rationale.network import Network

Array = NDArray[np.float32]
Filling = Callable[[Array, np.random.Generator], Array]

ORDERS = ("MoRF", "LeRF")  # most relevant first, least relevant first


def _zero(batch: Array, random: np.random.Generator) -> Array:
    return np.zeros_like(batch)


def _mean(batch: Array, random: np.random.Generator) -> Array:
    return np.asarray(np.broadcast_to(batch.mean(axis=(2, 3), keepdims=True), batch.shape), np.float32)


def _noise(batch: Array, random: np.random.Generator) -> Array:
    low, high = batch.min(axis=(1, 2, 3), keepdims=True), batch.max(axis=(1, 2, 3), keepdims=True)
    return np.asarray(low + (high - low) * random.random(batch.shape, np.float32), np.float32)


def _blur(batch: Array, random: np.random.Generator) -> Array:
    side = min(batch.shape[2:]) / 8
    return np.asarray(gaussian_filter(batch, (0, 0, side, side)), np.float32)


# What covered pixels show: the preprocessed zero (the training mean, or black), the picture's own mean colour, noise
# uniform over the picture's range (Samek et al.), or the picture blurred by an eighth of its side.
FILLINGS: Mapping[str, Filling] = {"zero": _zero, "mean": _mean, "noise": _noise, "blur": _blur}


@dataclass(frozen=True, eq=False)
class Flipping:
    """How a class's probability (or score) falls while regions are covered.

    Attributes:
        curves: float32 (N, steps + 1); the first column is the whole picture's.
        covered: share of the picture that is covered at each column, (steps + 1,).
    """

    curves: Array
    covered: NDArray[np.float64]

    def aopc(self) -> Array:
        """Area over the perturbation curve, 1/(L+1) Σ_k (f(x⁰) − f(xᵏ)), of each sample, (N,)."""
        return np.asarray((self.curves[:, :1] - self.curves).mean(axis=1))


def flip(
    network: Network,
    batch: Array,
    heatmaps: Array,
    classes: NDArray[np.int64],
    *,
    order: str = "MoRF",
    filling: str = "zero",
    region: int = 2,
    steps: int = 49,
    up_to: float = 1.0,
    target_layer: str | None = None,
    measure: str = "probability",
    seed: int = 0,
) -> Flipping:
    """Covers square regions in the order of their relevance.

    Args:
        network: the classifier.
        batch: float32 (N, C, H, W), already preprocessed.
        heatmaps: (N, H, W); regions are ranked by their mean, ties by lot.
        classes: whose probability is followed, (N,).
        order: "MoRF", most relevant first, or "LeRF", least relevant first.
        filling: one of FILLINGS.
        region: side in pixels.
        steps: how often the network is asked; each step covers as many regions as the others.
        up_to: share of the regions that is covered in the end.
        target_layer: layer of the class scores; found by itself where None.
        measure: "probability", by a softmax over the scores, or as the network's own Sigmoid says; or "score".
        seed: of noise and lots; the same for the same batch, whatever the heatmaps.

    Raises:
        OptionError: no such order, filling, measure or class, or heatmaps, steps or regions that do not fit the batch.
    """
    heatmaps = np.asarray(heatmaps, np.float32)
    _check(batch, heatmaps, order, filling, measure)
    if steps < 1 or region < 1 or not 0 < up_to <= 1 or region >= max(batch.shape[2:]):
        raise OptionError(f"{steps} steps up to {up_to:g} with regions of {region}: nothing to measure on that picture")
    random = np.random.default_rng(seed)
    ranks = _ranks(heatmaps if order == "MoRF" else -heatmaps, region, random)
    replacement = FILLINGS[filling](batch, random)
    last = up_to * (ranks.max() + 1)
    limits = np.round(np.linspace(0, last, steps + 1)).astype(int)
    rows = np.arange(len(batch))
    head = network.graph.head(target_layer)
    meaning = "labels" if head is not None and head.meaning == "labels" else "classes"
    curves = np.empty((len(batch), steps + 1), np.float32)
    for step, limit in enumerate(limits):
        covered = np.where((ranks < limit)[:, None], replacement, batch)
        found = scores(network, covered, target_layer=target_layer)
        if step == 0:
            _check_classes(classes, found, measure, meaning)
        followed = network.outcome(target_layer, meaning).numbers if measure == "probability" else found
        curves[:, step] = followed[rows, classes]
    return Flipping(curves, limits / (ranks.max() + 1))


def _check(batch: Array, heatmaps: Array, order: str, filling: str, measure: str) -> None:
    for what, value, known in (
        ("order", order, ORDERS),
        ("filling", filling, tuple(FILLINGS)),
        ("measure", measure, ("probability", "score")),
    ):
        if value not in known:
            raise OptionError(f"{what} {value!r} is unknown; there are {', '.join(known)}")
    if batch.ndim != 4 or batch.size == 0:
        raise OptionError(f"the batch must be (N, C, H, W) and not empty, not {batch.shape}")
    wanted = (len(batch), *batch.shape[2:])
    if heatmaps.shape != wanted or not np.isfinite(heatmaps).all():
        raise OptionError(f"heatmaps must be finite and of the shape {wanted}, not {heatmaps.shape}")


def _check_classes(classes: NDArray[np.int64], found: Array, measure: str, meaning: str) -> None:
    count, known = found.shape
    if known < 2 and measure == "probability" and meaning == "classes":
        raise OptionError("one class has always the probability 1: measure the score")
    numbers = np.asarray(classes)
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu" or numbers.min() < 0 or numbers.max() >= known:
        raise OptionError(f"classes must be {count} numbers from 0 to {known - 1}")


def _ranks(heatmaps: Array, region: int, random: np.random.Generator) -> NDArray[np.int64]:
    """For each pixel the place of its region in the order, 0 first, (N, H, W)."""
    count, height, width = heatmaps.shape
    down, across = -(-height // region), -(-width // region)
    where = (np.arange(height) // region)[:, None] * across + np.arange(width) // region
    sizes = np.bincount(where.ravel(), minlength=down * across)
    lots = random.random((count, down * across))
    ranks = np.empty_like(heatmaps, dtype=np.int64)
    for sample, heatmap in enumerate(heatmaps):
        means = np.bincount(where.ravel(), heatmap.ravel(), minlength=down * across) / sizes
        order = np.lexsort((lots[sample], -means))
        places = np.empty(down * across, np.int64)
        places[order] = np.arange(down * across)
        ranks[sample] = places[where]
    return ranks
