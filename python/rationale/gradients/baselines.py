"""Heatmaps by other methods than LRP, to measure it against: small functions on a network.

Each takes a batch, already preprocessed, float32 (N, C, H, W), and classes (one for all, one for each sample, or None
for the predicted ones), and returns float32 (N, H, W). Those called saliency are magnitudes, without a sign.

Those that ask the network raise NetworkError or RuleError for a batch, class or layer that does not fit, and
OptionError for a number that makes no sense; `random_heatmaps` and `edges` do not look at network or class.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.filters import sobel
from skimage.transform import resize

from rationale.errors import NetworkError, OptionError, RuleError
from rationale.lrp.start import Classes, class_start
from rationale.network import Network, Node, kind

Array = NDArray[np.float32]


def random_heatmaps(
    network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None, seed: int = 0
) -> Array:
    """Uniform noise: what a heatmap that knows nothing reaches."""
    count, _, height, width = batch.shape
    return np.random.default_rng(seed).random((count, height, width), np.float32)


def edges(network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None) -> Array:
    """Sobel edges of the picture: what a heatmap that never asked the network reaches (Adebayo et al. 2018)."""
    return np.stack([sobel(picture.mean(axis=0)) for picture in batch]).astype(np.float32)


def gradient(network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None) -> Array:
    """Saliency: the largest |∂f/∂x| of any colour (Simonyan et al. 2014, section 3.1)."""
    return _saliency(score_gradient(network, batch, target, target_layer=target_layer))


def gradient_times_input(
    network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None
) -> Array:
    """x · ∂f/∂x, summed over the colours (Shrikumar et al. 2016)."""
    return _summed(batch * score_gradient(network, batch, target, target_layer=target_layer))


def smooth_gradient(
    network: Network,
    batch: Array,
    target: Classes = None,
    *,
    target_layer: str | None = None,
    samples: int = 25,
    noise: float = 0.15,
    seed: int = 0,
) -> Array:
    """SmoothGrad saliency: the mean gradient over noisy copies (Smilkov et al. 2017).

    Args:
        network, batch, target, target_layer: as everywhere here.
        samples: how many noisy copies.
        noise: standard deviation of the noise, as a share of each sample's range.
        seed: of the noise.
    """
    _require(samples >= 1 and noise >= 0, f"{samples} samples with noise {noise:g}")
    batch = np.asarray(batch, np.float32)
    classes = classes_of(network, batch, target, target_layer=target_layer)
    deviation = noise * np.ptp(batch, axis=(1, 2, 3), keepdims=True)
    random = np.random.default_rng(seed)
    mean = np.zeros_like(batch)
    for _ in range(samples):
        noisy = batch + deviation * random.standard_normal(batch.shape, np.float32)
        mean += score_gradient(network, noisy, classes, target_layer=target_layer) / samples
    return _saliency(mean)


def integrated_gradients(
    network: Network,
    batch: Array,
    target: Classes = None,
    *,
    target_layer: str | None = None,
    reference: float | Array = 0.0,
    steps: int = 32,
) -> Array:
    """(x − x′) · mean of ∂f/∂x on the way from x′ to x (Sundararajan et al. 2017, eq. 1), summed over the colours.

    Args:
        network, batch, target, target_layer: as everywhere here.
        reference: x′, a number or an array that fits the batch.
        steps: points on the way, in the middle of as many equal parts.
    """
    _require(steps >= 1, f"{steps} steps")
    batch, start = np.asarray(batch, np.float32), np.asarray(reference, np.float32)
    try:
        difference = batch - np.broadcast_to(start, batch.shape)
    except ValueError as error:
        raise OptionError(f"a reference of shape {start.shape} does not fit a batch of {batch.shape}") from error
    classes = classes_of(network, batch, target, target_layer=target_layer)
    mean = np.zeros_like(batch)
    for step in range(steps):
        on_the_way = batch - difference * np.float32(1 - (step + 0.5) / steps)
        mean += score_gradient(network, on_the_way, classes, target_layer=target_layer) / steps
    return _summed(difference * mean)


def grad_cam(
    network: Network,
    batch: Array,
    target: Classes = None,
    *,
    target_layer: str | None = None,
    layer: str | None = None,
) -> Array:
    """ReLU(Σ_c mean(∂f/∂A_c) · A_c) of a layer's maps A, enlarged to the input (Selvaraju et al. 2017, eq. 1 and 2).

    Args:
        network, batch, target, target_layer: as everywhere here.
        layer: whose maps; the topmost convolution that keeps places where None.
    """
    chosen = network.graph.node(layer) if layer else _topmost_maps(network, target_layer)
    slope = score_gradient(network, batch, target, target_layer=target_layer, at=chosen.name)
    maps = network.activation(chosen.name)
    if maps.ndim != 4:
        raise NetworkError(f"layer {chosen.name!r} keeps no places: Grad-CAM wants a layer with maps")
    cams = np.maximum((slope.mean(axis=(2, 3), keepdims=True) * maps).sum(axis=1), 0)
    return np.stack([resize(cam, batch.shape[2:], order=1, mode="edge") for cam in cams]).astype(np.float32)


def occlusion(
    network: Network,
    batch: Array,
    target: Classes = None,
    *,
    target_layer: str | None = None,
    window: int | None = None,
    stride: int | None = None,
    filling: float = 0.0,
) -> Array:
    """How much f(x) falls when a window is covered, averaged over the windows on a pixel (Zeiler and Fergus 2014).

    Args:
        network, batch, target, target_layer: as everywhere here.
        window: side in pixels; a seventh of the picture where None.
        stride: of the window; half a window where None.
        filling: what covers it, in units of the preprocessed input.
    """
    height, width = batch.shape[2:]
    side = window or max(2, round(min(height, width) / 7))
    step = stride or max(1, side // 2)
    _require(1 <= step <= side <= max(height, width), f"a window of {side} with stride {step} on {height} × {width}")
    classes = classes_of(network, batch, target, target_layer=target_layer)
    rows = np.arange(len(batch))
    whole = scores(network, batch, target_layer=target_layer)[rows, classes]
    fall = np.zeros((len(batch), height, width), np.float32)
    covers = np.zeros((height, width), np.float32)
    for top in _places(height, side, step):
        for left in _places(width, side, step):
            covered = batch.copy()
            covered[:, :, top : top + side, left : left + side] = filling
            now = scores(network, covered, target_layer=target_layer)[rows, classes]
            fall[:, top : top + side, left : left + side] += (whole - now)[:, None, None]
            covers[top : top + side, left : left + side] += 1
    return fall / covers


def deconvolution(network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None) -> Array:
    """Saliency of what a "deconvnet" projects back: the largest magnitude of any colour (Zeiler and Fergus 2014)."""
    return _saliency(_rectified_score_gradient(network, batch, target, target_layer, guided=False))


def guided_backpropagation(
    network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None
) -> Array:
    """Saliency of the guided gradient: the largest magnitude of any colour (Springenberg et al. 2015)."""
    return _saliency(_rectified_score_gradient(network, batch, target, target_layer, guided=True))


Heatmaps = Callable[..., Array]  # (network, batch, target, *, target_layer) → (N, H, W)

BASELINES: Mapping[str, Heatmaps] = {
    "random": random_heatmaps,
    "edges": edges,
    "gradient": gradient,
    "gradient × input": gradient_times_input,
    "SmoothGrad": smooth_gradient,
    "integrated gradients": integrated_gradients,
    "Grad-CAM": grad_cam,
    "occlusion": occlusion,
}


# ---- what they share -------------------------------------------------------------------------------------------------


def scores(network: Network, batch: Array, *, target_layer: str | None = None) -> Array:
    """Class scores before the softmax, float32 (N, classes)."""
    network.forward(batch)
    node = network.graph.score_node(target_layer)
    found = network.data(node.tops[0])
    if found[0].size != found.shape[1]:
        raise RuleError(f"layer {node.name!r} gives several scores a class; name another `target_layer`")
    return found.reshape(len(batch), -1).copy()


def classes_of(
    network: Network, batch: Array, target: Classes = None, *, target_layer: str | None = None
) -> NDArray[np.int64]:
    """The classes that `target` stands for, (N,): themselves, or the predicted ones."""
    network.forward(batch)
    found = class_start(network, network.graph.score_node(target_layer), target)
    return network.views.to_host(found.targets)


def score_gradient(
    network: Network,
    batch: Array,
    target: Classes = None,
    *,
    target_layer: str | None = None,
    at: str | None = None,
) -> Array:
    """∂f/∂x of the target's score, float32 (N, C, H, W); with `at`, by that layer's output (above a ReLU in place)."""
    start = network.graph.score_node(target_layer)
    classes = classes_of(network, batch, target, target_layer=target_layer)
    seed = _ones_at(network, start, classes)
    if at is None:
        (found,) = network.backward(start.name, gradient=seed).values()
        return found
    blob = network.graph.blob(at)
    with network.backward_from(start, seed) as path:
        for node in reversed(path):
            if blob in node.tops:
                return network.diff(blob).copy()
            network.run_backward(node)
    raise NetworkError(f"the score does not depend on layer {at!r}")


def rectified_gradient(network: Network, layer: str, seed: Array, *, guided: bool) -> Array:
    """A gradient that is rectified at every ReLU on its way from a layer's output to the input, (N, C, H, W).

    Where a gradient R comes to a ReLU that put out f, the deconvnet hands on (R > 0) · R (Zeiler and Fergus 2014,
    section 2.1), the guided gradient (f > 0) · (R > 0) · R (Springenberg et al. 2015, figure 1); all other layers do as
    in the gradient, max pooling by its switches.

    Args:
        network: after a forward pass.
        layer: where to start; a layer with an in-place ReLU above starts below that ReLU.
        seed: what to start with, shaped like the layer's output.
        guided: the guided gradient rather than the deconvnet.

    Raises:
        NetworkError: no such layer, a wrong shape, or several inputs.
    """
    (name,) = network.inputs
    with network.backward_from(network.graph.node(layer), seed) as path:
        for node in reversed(path):
            if node.type != "ReLU":
                network.run_backward(node)
                continue
            above = network.diff(node.tops[0])
            np.maximum(above, 0, out=above)
            if guided:
                network.run_backward(node)
            elif not node.in_place:
                network.diff(node.bottoms[0])[...] = above
    return network.diff(network.graph.blob(name)).copy()


def _rectified_score_gradient(
    network: Network, batch: Array, target: Classes, target_layer: str | None, *, guided: bool
) -> Array:
    start = network.graph.score_node(target_layer)
    classes = classes_of(network, batch, target, target_layer=target_layer)
    return rectified_gradient(network, start.name, _ones_at(network, start, classes), guided=guided)


def _ones_at(network: Network, start: Node, classes: NDArray[np.int64]) -> Array:
    """1 at each sample's class, shaped like the scores."""
    seed = np.zeros_like(network.data(start.tops[0]))
    seed.reshape(len(seed), -1)[np.arange(len(seed)), classes] = 1
    return seed


def has_maps(network: Network, target_layer: str | None = None) -> bool:
    """Whether Grad-CAM finds a layer by itself."""
    return _find_maps(network, target_layer) is not None


def _topmost_maps(network: Network, target_layer: str | None) -> Node:
    found = _find_maps(network, target_layer)
    if found is None:
        raise NetworkError("no convolution that all evidence passes through keeps places: Grad-CAM wants a `layer`")
    return found


def _find_maps(network: Network, target_layer: str | None) -> Node | None:
    """The topmost convolution, or join of several, that keeps places and through which all of the score goes."""
    below = network.graph.below(network.graph.score_node(target_layer))
    for node in reversed(below):
        keeps_places = len(network.shape(node.name)) == 4 and np.prod(network.shape(node.name)[2:]) > 1
        known = kind(node.type)
        if (known.convolves or known.joins) and keeps_places and _carries_all(below, node):
            return node
    return None


def _carries_all(below: Sequence[Node], node: Node) -> bool:
    """Whether nothing made before a layer's output is read after it, but that output."""
    before = {blob for each in below if each.index <= node.index for blob in each.tops} - set(node.tops)
    return not any(before & set(each.bottoms) for each in below if each.index > node.index)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise OptionError(f"{what}: nothing can be computed with that")


def _saliency(slope: Array) -> Array:
    return np.asarray(np.abs(slope).max(axis=1))


def _summed(contributions: Array) -> Array:
    return np.asarray(contributions.sum(axis=1))


def _places(size: int, side: int, step: int) -> Sequence[int]:
    """Where windows begin; the last ends at the border."""
    return sorted({*range(0, max(size - side, 0) + 1, step), max(size - side, 0)})
