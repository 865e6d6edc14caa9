"""Constants beside the picture (DummyData, Parameter) become inputs that the network fills by itself.

As inputs they follow the size of the batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import messages

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Constant:
    """What fills an input: float32, with a first axis of 1 where `follows`, which is repeated for each sample.

    `type` is that of the layer that stood there, under which the graph shows it still.
    """

    values: Array
    follows: bool
    type: str


def from_dummies(network: NetParameter, sizes: set[int]) -> dict[str, Constant]:
    """Makes Input layers of DummyData layers with constant numbers, and returns what fills them, by blob.

    Those as long as a batch of the file, `sizes`, follow the batch.
    """
    found: dict[str, Constant] = {}
    for layer in network.layer:
        parameter = layer.dummy_data_param
        if layer.type != "DummyData" or any(filler.type != "constant" for filler in parameter.data_filler):
            continue
        shapes = [list(shape.dim) for shape in parameter.shape] or [
            list(shape)
            for shape in zip(parameter.num, parameter.channels, parameter.height, parameter.width, strict=True)
        ]
        values = [filler.value for filler in parameter.data_filler] or [0.0]
        made = {}
        for number, top in enumerate(layer.top):
            shape = shapes[min(number, len(shapes) - 1)]
            follows = len(shape) > 1 and shape[0] in sizes
            shape = [1, *shape[1:]] if follows else shape
            made[top] = Constant(np.full(shape, values[min(number, len(values) - 1)], np.float32), follows, layer.type)
        _become_inputs(layer, made)
        found |= made
    return found


def from_parameters(network: NetParameter, weights: Mapping[str, list[Array]]) -> dict[str, Constant]:
    """The same of Parameter layers; `weights` are those of the running network, by layer."""
    found: dict[str, Constant] = {}
    for layer in network.layer:
        if layer.type != "Parameter":
            continue
        (values,) = weights[layer.name]
        follows = values.ndim > 1 and values.shape[0] == 1
        made = {layer.top[0]: Constant(values.copy(), follows, layer.type)}
        _become_inputs(layer, made)
        found |= made
    return found


def check_parameters(network: NetParameter, sizes: set[int], name: str) -> None:
    """Refuses Parameter layers that hold something for each sample of the file's batch.

    Raises:
        NetworkError: there is one.
    """
    for layer in network.layer:
        shape = list(layer.parameter_param.shape.dim)
        if layer.type == "Parameter" and len(shape) > 1 and shape[0] != 1 and shape[0] in sizes:
            raise NetworkError(
                f"{name}: layer {layer.name!r} (Parameter) holds weights for each of {shape[0]} samples, so that what "
                "the network says of a picture depends on its place in the batch"
            )


def _become_inputs(layer: LayerParameter, made: Mapping[str, Constant]) -> None:
    new = messages().LayerParameter(name=layer.name, type="Input", top=list(layer.top))
    for top in layer.top:
        new.input_param.shape.add(dim=made[top].values.shape)
    layer.CopyFrom(new)
