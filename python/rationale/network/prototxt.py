"""Reads and writes prototxt and brings old network formats up to date."""

from os import PathLike
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from google.protobuf.message import Message

from rationale.errors import NetworkError
from rationale.network.pycaffe import messages

NetParameter = Any  # generated messages carry no static types
LayerParameter = Any

# Names of V1 layer types (an enum) that are not simply the capitalised words of today's string.
_V1_NAMES = {
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data", "HDF5_OUTPUT": "HDF5Output",
    "IM2COL": "Im2col", "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU", "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}  # fmt: skip


def read_network(path: str | PathLike[str]) -> NetParameter:
    """Parses a network definition and upgrades it to today's format.

    Raises:
        NetworkError: the file is missing, is no prototxt (with line and column), or is older than Caffe 0.9's V1.
    """
    network = read_message(path, messages().NetParameter())
    return upgrade(network, str(path))


def read_message(path: str | PathLike[str], message: Message) -> Any:
    """Parses the text file at `path` into `message` and returns it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise NetworkError(f"{path}: cannot be read ({reason})") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise NetworkError(f"{path}: not a valid prototxt: line {error}") from error


def to_text(message: Message) -> str:
    """The message in prototxt syntax."""
    return str(text_format.MessageToString(message))


def upgrade(network: NetParameter, name: str = "network") -> NetParameter:
    """A copy with V1 `layers` as `layer` and `input`/`input_dim`/`input_shape` as Input layers."""
    if network.layers and network.layer:
        raise NetworkError(f"{name}: mixes `layers` (V1) and `layer`; use one of them")
    upgraded = messages().NetParameter()
    upgraded.CopyFrom(network)
    del upgraded.layer[:], upgraded.layers[:]
    upgraded.layer.extend(_input_layers(network, name))
    upgraded.layer.extend(network.layer)
    upgraded.layer.extend(_upgrade_v1_layer(layer, name) for layer in network.layers)
    for field in ("input", "input_dim", "input_shape"):
        upgraded.ClearField(field)
    for layer in upgraded.layer:
        if layer.type == "BatchNorm":  # old definitions listed learning rates for statistics that never learn
            del layer.param[:]
    return upgraded


def _input_layers(network: NetParameter, name: str) -> list[LayerParameter]:
    shapes = [list(shape.dim) for shape in network.input_shape]
    dims = list(network.input_dim)
    if dims and len(dims) % 4 == 0:
        shapes += [dims[start : start + 4] for start in range(0, len(dims), 4)]
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


def input_shapes(path: str | PathLike[str]) -> list[tuple[int, ...]]:
    """Shape of each Input layer of a definition, batch size first, without building the network.

    Raises:
        NetworkError: the file is missing or damaged.
    """
    layers = [layer for layer in read_network(path).layer if layer.type == "Input"]
    return [tuple(int(size) for size in shape.dim) for layer in layers for shape in layer.input_param.shape]
