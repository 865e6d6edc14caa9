"""The layer types of Caffe and what the project knows of each: one entry a type, in one table.

A property that depends on a layer's own parameters is a function of its definition. Types without an entry are run as
they are, and known for nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LayerParameter = Any  # generated messages carry no static types
Weights = Sequence[NDArray[np.float32]]
Asked = Callable[[LayerParameter], bool]


@dataclass(frozen=True)
class Kind:
    """What is known of a type of layer.

    Attributes:
        learnt: number of blobs that training changes by gradients; computing those for nothing costs time.
        statistics: number of blobs that hold something else.
        elementwise: each output value belongs to the input value at its place.
        moves_zero: an elementwise layer can turn 0 into something else.
        affine: f(x) = a x + b, with a and b of the layer's own.
        rises: f grows with its input, given the layer's weights, or at least never falls; None where it may not.
        flat: f can be the same for different inputs, though it never falls.
        never_negative: what it puts out never is, whatever goes in.
        keeps_sign: what it puts out is not negative where nothing that goes in is.
        hands_on: values stay what they are, at most in another shape.
        convolves: each channel of its output is a map of what one filter found where.
        probabilities: of what it makes its output some, as in `head.MEANINGS`.
        joins: it puts several inputs together.
        cuts: it hands each of its outputs a part of the input.
        picks: it says which value is the highest, or nothing at all.
        may_be_overwritten: a plain ReLU or Dropout in place over it changes nothing that a backward pass needs.
        axis: on which it works, where it is one that a definition may choose.
        mixes: why what it puts out for one sample depends on others, where its axis is the samples'.
        always_mixes: whatever its axis.
        files: what it does to files.
    """

    learnt: Callable[[LayerParameter], int] = lambda layer: 0
    statistics: int = 0
    elementwise: bool = False
    moves_zero: Asked = lambda layer: False
    affine: Asked = lambda layer: False
    rises: Callable[[LayerParameter, Weights], bool] | None = None
    flat: Asked = lambda layer: False
    never_negative: Asked = lambda layer: False
    keeps_sign: Asked = lambda layer: False
    hands_on: bool = False
    convolves: bool = False
    probabilities: str = ""
    joins: bool = False
    cuts: bool = False
    picks: bool = False
    may_be_overwritten: Asked = lambda layer: False
    axis: Callable[[LayerParameter], int | None] = lambda layer: None
    mixes: str = "works along the samples"
    always_mixes: bool = False
    files: str = ""

    @property
    def may_top(self) -> bool:
        """Whether it can stand over the scores of a network without changing which of them is the highest."""
        return self.rises is not None or self.hands_on or self.picks

    def holds_weights(self, layer: LayerParameter) -> bool:
        """Whether a file of weights has something for the layer."""
        return self.learnt(layer) + self.statistics > 0


def _always(layer: LayerParameter) -> bool:
    return True


def _rising(layer: LayerParameter, weights: Weights) -> bool:
    return True


def _own(layer: LayerParameter) -> int:
    """Scale and Bias take their weights from a second bottom, if there is one."""
    return int(len(layer.bottom) == 1)


def _grows(parameter: Any) -> bool:
    """Of Exp and Log: base^(shift + scale x), log_base(shift + scale x)."""
    return bool(parameter.scale > 0 and (parameter.base == -1 or parameter.base > 1))


def _concat_axis(layer: LayerParameter) -> int:
    parameter = layer.concat_param
    return int(parameter.concat_dim if parameter.HasField("concat_dim") else parameter.axis)


def _slice_axis(layer: LayerParameter) -> int:
    parameter = layer.slice_param
    return int(parameter.slice_dim if parameter.HasField("slice_dim") else parameter.axis)


def _is_plain_power(layer: LayerParameter) -> bool:
    return bool(layer.power_param.power == 1)


def _clip_moves_zero(layer: LayerParameter) -> bool:
    return not layer.clip_param.min <= 0 <= layer.clip_param.max


def _convolution(layer: LayerParameter) -> int:
    return 1 + int(layer.convolution_param.bias_term)


def _adds_nothing_negative(layer: LayerParameter) -> bool:
    return all(coefficient >= 0 for coefficient in layer.eltwise_param.coeff)


def _is_no_product(layer: LayerParameter) -> bool:
    return bool(layer.eltwise_param.operation != layer.eltwise_param.PROD)


_TIME = "goes through time, which takes a time-major network (SequenceNetwork)"
_DATABASE, _PYTHON = "reads its own data from files", "runs Python code of its own"

KINDS: dict[str, Kind] = {
    # with weights
    "Convolution": Kind(convolves=True, learnt=_convolution, may_be_overwritten=_always),
    "Deconvolution": Kind(convolves=True, learnt=_convolution, may_be_overwritten=_always),
    "InnerProduct": Kind(
        learnt=lambda layer: 1 + int(layer.inner_product_param.bias_term),
        may_be_overwritten=_always,
        axis=lambda layer: int(layer.inner_product_param.axis),
    ),
    "Embed": Kind(learnt=lambda layer: 1 + int(layer.embed_param.bias_term)),
    "LSTM": Kind(statistics=3, always_mixes=True, mixes=_TIME),
    "RNN": Kind(statistics=5, always_mixes=True, mixes=_TIME),
    "LSTMUnit": Kind(always_mixes=True, mixes=_TIME),
    "Parameter": Kind(learnt=lambda layer: 1),
    # value by value
    "BatchNorm": Kind(
        statistics=3, elementwise=True, moves_zero=_always, affine=_always, rises=_rising, may_be_overwritten=_always
    ),
    "Scale": Kind(
        learnt=lambda layer: _own(layer) + int(layer.scale_param.bias_term),
        elementwise=True,
        moves_zero=lambda layer: bool(layer.scale_param.bias_term),
        keeps_sign=lambda layer: not (_own(layer) or layer.scale_param.bias_term),  # a gate that is not negative
        affine=_always,
        rises=lambda layer, weights: bool(weights) and bool((weights[0] > 0).all()),
        may_be_overwritten=_always,
        axis=lambda layer: int(layer.scale_param.axis) if _own(layer) and layer.scale_param.num_axes else None,
        mixes="has a weight for each sample",
    ),
    "Bias": Kind(
        learnt=_own,
        elementwise=True,
        moves_zero=_always,
        affine=_always,
        rises=_rising,
        may_be_overwritten=_always,
        axis=lambda layer: int(layer.bias_param.axis) if _own(layer) and layer.bias_param.num_axes else None,
        mixes="has a weight for each sample",
    ),
    "PReLU": Kind(learnt=lambda layer: 1, elementwise=True, rises=lambda layer, weights: bool((weights[0] >= 0).all())),
    "ReLU": Kind(
        elementwise=True,
        rises=lambda layer, weights: layer.relu_param.negative_slope >= 0,
        flat=lambda layer: bool(layer.relu_param.negative_slope == 0),
        never_negative=lambda layer: bool(layer.relu_param.negative_slope <= 0),
        may_be_overwritten=_always,
    ),
    "ELU": Kind(elementwise=True, rises=lambda layer, weights: layer.elu_param.alpha >= 0),
    "Clip": Kind(
        never_negative=lambda layer: bool(layer.clip_param.min >= 0),
        elementwise=True,
        moves_zero=_clip_moves_zero,
        rises=_rising,
        flat=_always,
    ),
    "Sigmoid": Kind(
        never_negative=_always, probabilities="labels", elementwise=True, moves_zero=_always, rises=_rising
    ),
    "TanH": Kind(elementwise=True, rises=_rising),
    "BNLL": Kind(never_negative=_always, elementwise=True, moves_zero=_always, rises=_rising),
    "Exp": Kind(
        never_negative=_always,
        elementwise=True,
        moves_zero=_always,
        rises=lambda layer, weights: _grows(layer.exp_param),
    ),
    "Log": Kind(elementwise=True, moves_zero=_always, rises=lambda layer, weights: _grows(layer.log_param)),
    "Power": Kind(
        elementwise=True,
        moves_zero=lambda layer: bool(layer.power_param.shift != 0 or layer.power_param.power == 0),
        affine=_is_plain_power,
        rises=lambda layer, weights: layer.power_param.scale > 0 and layer.power_param.power % 2 == 1,
    ),
    "AbsVal": Kind(never_negative=_always, elementwise=True),
    "Swish": Kind(elementwise=True),
    "Threshold": Kind(
        never_negative=_always, elementwise=True, moves_zero=lambda layer: bool(layer.threshold_param.threshold < 0)
    ),
    "Dropout": Kind(keeps_sign=_always, elementwise=True, hands_on=True, may_be_overwritten=_always),
    # in groups
    "LRN": Kind(keeps_sign=_always, elementwise=True),
    "Softmax": Kind(
        never_negative=_always, probabilities="classes", rises=_rising, axis=lambda layer: int(layer.softmax_param.axis)
    ),
    "Pooling": Kind(keeps_sign=_always, may_be_overwritten=_always),
    "ArgMax": Kind(
        picks=True, axis=lambda layer: int(layer.argmax_param.axis) if layer.argmax_param.HasField("axis") else None
    ),
    "Reduction": Kind(axis=lambda layer: int(layer.reduction_param.axis)),
    "Tile": Kind(keeps_sign=_always, axis=lambda layer: int(layer.tile_param.axis)),
    # several inputs or outputs
    "Eltwise": Kind(keeps_sign=_adds_nothing_negative, joins=True, may_be_overwritten=_is_no_product),
    "Concat": Kind(
        keeps_sign=_always, joins=True, may_be_overwritten=_always, axis=_concat_axis, mixes="joins along the samples"
    ),
    "Crop": Kind(keeps_sign=_always),
    "Slice": Kind(keeps_sign=_always, cuts=True, axis=_slice_axis, mixes="takes samples apart"),
    "Split": Kind(keeps_sign=_always, hands_on=True, may_be_overwritten=_always),
    "Flatten": Kind(
        keeps_sign=_always,
        hands_on=True,
        axis=lambda layer: int(layer.flatten_param.axis),
        mixes="takes samples together",
    ),
    "Reshape": Kind(keeps_sign=_always, hands_on=True),
    "BatchReindex": Kind(always_mixes=True, mixes="puts samples in another order"),
    "Filter": Kind(always_mixes=True, mixes="leaves samples out"),
    "Silence": Kind(picks=True),
    # sources, and what works on files
    "Input": Kind(),
    "DummyData": Kind(),
    "Data": Kind(files=_DATABASE),
    "HDF5Data": Kind(files=_DATABASE),
    "ImageData": Kind(files=_DATABASE),
    "WindowData": Kind(files=_DATABASE),
    "MemoryData": Kind(files="reads its own data from memory that only C++ fills"),
    "HDF5Output": Kind(files="writes what it is given into a file, whose former content is lost at once"),
    "Python": Kind(files=_PYTHON),
}

_NONE = Kind()


def kind(type_: str) -> Kind:
    """What is known of a layer type."""
    return KINDS.get(type_, _NONE)


def measures_only(type_: str) -> bool:
    """Whether what the layer puts out is a number about a batch, of which nothing else is made."""
    return type_.endswith("Loss") or type_ == "Accuracy"


def use_of_files(layer: LayerParameter) -> str:
    """What a layer does to files; empty where it leaves them alone."""
    if layer.type == "InfogainLoss" and layer.infogain_loss_param.HasField("source"):
        return f"reads the file {layer.infogain_loss_param.source!r}"
    return kind(layer.type).files


def mixes_samples(layer: LayerParameter, axes: int | None = None) -> str:
    """Why what a layer puts out for one sample depends on others; empty where it does not.

    Args:
        layer: its definition.
        axes: of its input, which tell what a negative axis means; where unknown, negative ones are passed over.
    """
    known = kind(layer.type)
    axis = known.axis(layer)
    if axis is not None and axis < 0 and axes is not None:
        axis += axes
    return known.mixes if known.always_mixes or axis == 0 else ""
