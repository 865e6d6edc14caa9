"""Reads and writes prototxt and brings old network formats up to date."""

import re
from collections.abc import Sequence
from os import PathLike
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from rationale.errors import NetworkError
from rationale.network.dialects import any_network, layer_around, translated
from rationale.network.pycaffe import messages
from rationale.network.state import test_phase_layers
from rationale.network.text import read_text

NetParameter = Any  # generated messages carry no static types
LayerParameter = Any

# Names of V1 layer types (an enum) that are not simply the capitalised words of today's string.
_V1_NAMES = {
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col", "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}  # fmt: skip


def read_network(
    path: str | PathLike[str], stages: Sequence[str] = (), understood: list[str] | None = None
) -> NetParameter:
    """Parses a network definition, of this or another build of Caffe, and upgrades it to today's format.

    Args:
        path: of the prototxt.
        stages: in which the network is, beside those of its own `state`.
        understood: gets a line for each thing that is not simply as it stands there.

    Raises:
        NetworkError: the file is missing, is no prototxt (with line, column and layer), or is older than Caffe 0.9's
            V1.
    """
    said: list[str] = understood if understood is not None else []
    network, more = translated(read_message(path, any_network(), said), str(path))
    said += more
    network.state.stage.extend(each for each in stages if each not in network.state.stage)
    if network.state.stage or network.state.level:
        level = f"level {network.state.level}" if network.state.level else ""
        said.append(", ".join(["built in", *(f"stage {each}" for each in network.state.stage), level]).strip(", "))
    return upgrade(network, str(path), said)


def read_message(path: str | PathLike[str], message: Message, understood: list[str] | None = None) -> Any:
    """Parses the text file at `path` into `message` and returns it."""
    text, said = read_text(path)
    if understood is not None:
        understood += said
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise NetworkError(f"{path}: not a valid prototxt: {_located(text, error)}") from error


def _located(text: str, error: text_format.ParseError) -> str:
    """What is wrong, in which layer, without the line itself."""
    reason = re.sub(r"^\d+:\d+ : (?:'.*?': )?", "", " ".join(str(error).split()))
    reason = reason.replace('Message type "caffe.', "this Caffe's \"").rstrip(".")
    line = error.GetLine()
    layer = layer_around(text, line) if line else None
    where = f"layer {layer[0]!r} ({layer[1]}), " if layer else ""
    return f"{where}line {line}:{error.GetColumn()}: {reason}" if line else reason


def to_text(message: Message) -> str:
    """The message in prototxt syntax."""
    return str(text_format.MessageToString(message))


def upgrade(network: NetParameter, name: str = "network", understood: list[str] | None = None) -> NetParameter:
    """A copy with V1 `layers` as `layer` and `input`/`input_dim`/`input_shape` as Input layers."""
    if network.layers and network.layer:
        raise NetworkError(f"{name}: mixes `layers` (V1) and `layer`; use one of them")
    upgraded = messages().NetParameter()
    upgraded.CopyFrom(network)
    del upgraded.layer[:], upgraded.layers[:]
    upgraded.layer.extend(_input_layers(network, name, understood if understood is not None else []))
    upgraded.layer.extend(network.layer)
    upgraded.layer.extend(_upgrade_v1_layer(layer, name) for layer in network.layers)
    for field in ("input", "input_dim", "input_shape"):
        upgraded.ClearField(field)
    for layer in upgraded.layer:
        if layer.type == "BatchNorm":  # old definitions listed learning rates for statistics that never learn
            del layer.param[:]
    return upgraded


def _input_layers(network: NetParameter, name: str, understood: list[str]) -> list[LayerParameter]:
    made = {layer.top[0] for layer in network.layer if layer.type == "Input" and layer.top}
    shapes = [list(shape.dim) for shape in network.input_shape]
    dims = list(network.input_dim)
    if dims and len(dims) % 4 == 0:
        shapes += [dims[start : start + 4] for start in range(0, len(dims), 4)]
    if not shapes and network.input and set(network.input) <= made:
        understood.append(f"input: {', '.join(network.input)} without a shape is the Input layer of that name")
        return []
    if len(shapes) != len(network.input):
        raise NetworkError(f"{name}: {len(network.input)} inputs but shapes for {len(shapes)}")
    layers = []
    for top, shape in zip(network.input, shapes, strict=True):
        layer = messages().LayerParameter(name=top, type="Input", top=[top])
        layer.input_param.shape.add(dim=shape)
        layers.append(layer)
    return layers


def _upgrade_v1_layer(old: Any, name: str) -> LayerParameter:
    if old.HasField("layer"):
        raise NetworkError(f"{name}: layer {old.layer.name!r} is in the V0 format; upgrade it with Caffe's own tool")
    new = messages().LayerParameter(name=old.name, type=_v1_type(old), bottom=old.bottom, top=old.top)
    for field, value in old.ListFields():
        if field.name.endswith("_param"):
            getattr(new, field.name).CopyFrom(value)
    for field in ("include", "exclude", "blobs", "loss_weight"):
        getattr(new, field).extend(getattr(old, field))
    for number in range(max(len(old.param), len(old.blobs_lr), len(old.weight_decay))):
        spec = new.param.add()
        if number < len(old.param) and old.param[number]:
            spec.name = old.param[number]
        if number < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[number]
        if number < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[number]
    return new


def _v1_type(old: Any) -> str:
    enum = messages().V1LayerParameter.LayerType.Name(old.type)
    return _V1_NAMES.get(enum) or "".join(word.capitalize() for word in enum.split("_"))


def input_shapes(path: str | PathLike[str], stages: Sequence[str] = ()) -> list[tuple[int, ...]]:
    """Shape of each Input layer of a definition, batch size first, without building the network.

    Raises:
        NetworkError: the file is missing or damaged.
    """
    layers = [layer for layer in test_phase_layers(read_network(path, stages)) if layer.type == "Input"]
    return [tuple(int(size) for size in shape.dim) for layer in layers for shape in layer.input_param.shape]
