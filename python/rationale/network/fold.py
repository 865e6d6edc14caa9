"""Folds BatchNorm and the Scale after it into the convolution or dense layer before them.

In its TEST phase BatchNorm is a fixed shift and factor for each channel. As part of the weights they get their share of
relevance by the layer's own rule; as layers of their own they would need one that the literature does not agree on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import messages

Array = NDArray[np.float32]
Weights = Mapping[str, list[Array]]  # by layer

_LINEAR = ("Convolution", "InnerProduct")


@dataclass(frozen=True)
class Fold:
    """A linear layer, the BatchNorm that alone reads it, and the Scale that alone reads that, if there is one."""

    linear: LayerParameter
    norm: LayerParameter
    scale: LayerParameter | None

    @property
    def absorbed(self) -> list[LayerParameter]:
        """The layers that disappear."""
        return [self.norm] if self.scale is None else [self.norm, self.scale]


def find_folds(network: NetParameter) -> list[Fold]:
    """What can be folded in a network whose in-place layers have blobs of their own."""
    folds = []
    for linear in network.layer:
        if linear.type not in _LINEAR or len(linear.bottom) != 1 or not _is_along_channels(linear):
            continue
        norm = _only_reader(network, linear)
        if norm is None or norm.type != "BatchNorm" or not _uses_stored_statistics(norm):
            continue
        scale = _only_reader(network, norm)
        folds.append(Fold(linear, norm, scale if scale is not None and _is_per_channel(scale) else None))
    return folds


def folded_definition(network: NetParameter, folds: list[Fold]) -> NetParameter:
    """The network without the absorbed layers; every linear layer that absorbed some has a bias."""
    absorbed = {layer.name for fold in folds for layer in fold.absorbed}
    by_linear = {fold.linear.name: fold for fold in folds}
    folded = messages().NetParameter()
    folded.CopyFrom(network)
    del folded.layer[:]
    for layer in network.layer:
        if layer.name in absorbed:
            continue
        kept = folded.layer.add()
        kept.CopyFrom(layer)
        for spec in kept.param:
            spec.ClearField("name")  # shared weights may have been folded with different statistics
        if fold := by_linear.get(layer.name):
            kept.top[0] = fold.absorbed[-1].top[0]
            parameter = kept.convolution_param if layer.type == "Convolution" else kept.inner_product_param
            parameter.bias_term = True
            while len(kept.param) < 2:
                kept.param.add(lr_mult=0)
    return folded


def folded_weights(weights: Weights, folds: list[Fold]) -> Iterator[tuple[str, list[Array]]]:
    """Name and new weights of each linear layer that absorbed some.

    y = γ ((W x + b − μ) / √(σ² + ε)) + β  =  W' x + b', with W' = W γ / √(σ² + ε) and b' = (b − μ) γ / √(σ² + ε) + β.
    """
    for fold in folds:
        matrix, *bias = (array.astype(np.float64) for array in weights[fold.linear.name])
        mean, variance, count = (array.astype(np.float64) for array in weights[fold.norm.name])
        correction = 1 / count[0] if count[0] else 0.0
        factor = 1 / np.sqrt(variance * correction + fold.norm.batch_norm_param.eps)
        shift = (bias[0] if bias else np.zeros_like(mean)) - mean * correction
        after = np.zeros_like(factor)
        if fold.scale is not None:
            gain, *offset = (array.astype(np.float64) for array in weights[fold.scale.name])
            factor = factor * gain
            after = offset[0] if offset else after
        is_transposed = fold.linear.type == "InnerProduct" and fold.linear.inner_product_param.transpose
        scaled = matrix * (factor if is_transposed else factor.reshape(-1, *(1,) * (matrix.ndim - 1)))
        yield fold.linear.name, [scaled.astype(np.float32), (shift * factor + after).astype(np.float32)]


def _only_reader(network: NetParameter, layer: LayerParameter) -> LayerParameter | None:
    readers = [other for other in network.layer for bottom in other.bottom if bottom == layer.top[0]]
    return readers[0] if len(readers) == 1 else None


def _is_along_channels(linear: LayerParameter) -> bool:
    """Whether outputs lie on the second axis, which BatchNorm normalises."""
    kind = linear.inner_product_param if linear.type == "InnerProduct" else linear.convolution_param
    return bool(kind.axis == 1)


def _is_per_channel(layer: LayerParameter) -> bool:
    is_scale = layer.type == "Scale" and len(layer.bottom) == 1
    return is_scale and layer.scale_param.axis == 1 and layer.scale_param.num_axes == 1


def _uses_stored_statistics(norm: LayerParameter) -> bool:
    parameter = norm.batch_norm_param
    return not parameter.HasField("use_global_stats") or bool(parameter.use_global_stats)
