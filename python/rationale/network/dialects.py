"""What other builds of Caffe write into their files, and what it means to this one.

Their fields are known here, so that a file is read as a whole and each of them is either given its meaning or refused.
"""

import functools
import re
from types import ModuleType
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from rationale.errors import NetworkError
from rationale.network.pycaffe import messages

NetParameter = Any

_FILE = descriptor_pb2.FieldDescriptorProto
# Message, field, number (any free one, but in BlobProto NVIDIA's, for it is read from binary files), type.
_FIELDS = (
    ("PoolingParameter", "ceil_mode", 1013, _FILE.TYPE_BOOL),  # PyTorch's and OpenCV's word for round_mode
    ("LayerParameter", "engine", 1149, _FILE.TYPE_STRING),  # Intel
    ("NetParameter", "engine", 1149, _FILE.TYPE_STRING),  # Intel
    ("BlobProto", "raw_data_type", 10, _FILE.TYPE_INT32),  # NVIDIA
    ("BlobProto", "raw_data", 12, _FILE.TYPE_BYTES),  # NVIDIA
)
_ENGINES = ("MKL2017", "MKLDNN", "MKL", "OPENCL")  # values of every `engine`, after this Caffe's own

_RAW = {0: "<f8", 1: "<f4", 2: "<f2"}  # NVIDIA's DOUBLE, FLOAT, FLOAT16

_WITHOUT_ENGINE = "DEFAULT"


@functools.cache
def _network_class() -> Any:
    """Caffe's NetParameter with the fields of others."""
    module: ModuleType = messages()
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    for message in file.message_type:
        for owner, name, number, kind in _FIELDS:
            if message.name == owner:
                message.field.add(name=name, number=number, type=kind, label=_FILE.LABEL_OPTIONAL)
        for enum in message.enum_type:
            if enum.name == "Engine":
                for each in _ENGINES:
                    enum.value.add(name=each, number=100 + _ENGINES.index(each))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{file.package}.NetParameter"))


def any_network() -> NetParameter:
    """An empty definition that takes the fields of other builds too."""
    return _network_class()()


def plain_weights(content: bytes) -> tuple[bytes, list[str]] | None:
    """A file of weights whose numbers NVIDIA's Caffe keeps as `raw_data`, as this Caffe reads it; None for others.

    Raises:
        ValueError: numbers of a kind that is not known.
    """
    network = any_network()
    network.ParseFromString(content)
    kinds = set()
    for layer in network.layer:
        for blob in layer.blobs:
            if blob.HasField("raw_data"):
                if blob.raw_data_type not in _RAW:
                    raise ValueError(f"layer {layer.name!r} holds numbers of the unknown kind {blob.raw_data_type}")
                kinds.add(np.dtype(_RAW[blob.raw_data_type]).name)
                blob.data.extend(np.frombuffer(blob.raw_data, _RAW[blob.raw_data_type]).astype(np.float32))
                blob.ClearField("raw_data")
                blob.ClearField("raw_data_type")
    if not kinds:
        return None
    return network.SerializeToString(), [f"weights are kept as raw_data in {', '.join(sorted(kinds))}"]


def translated(network: NetParameter, name: str) -> tuple[NetParameter, list[str]]:
    """The definition in the words of this Caffe, and what was understood.

    Raises:
        NetworkError: a layer says one thing twice, differently.
    """
    understood: list[str] = []
    floors, engines = [], set()
    for layer in (*network.layer, *network.layers):
        pooling = layer.pooling_param
        if layer.HasField("pooling_param") and pooling.HasField("ceil_mode"):
            mode = pooling.CEIL if pooling.ceil_mode else pooling.FLOOR
            if pooling.HasField("round_mode") and pooling.round_mode != mode:
                raise NetworkError(
                    f"{name}: layer {layer.name!r} has a ceil_mode and a round_mode that say the opposite"
                )
            pooling.round_mode = mode
            floors += [layer.name] if mode == pooling.FLOOR else []
        engines |= _default_engines(layer)
    if network.HasField("engine"):
        engines.add(network.engine)
    if floors:
        understood.append(f"ceil_mode: false is round_mode: FLOOR ({_listed(floors)})")
    if engines := {each for each in engines if each != _WITHOUT_ENGINE}:
        understood.append(f"engine {', '.join(sorted(engines))} is left out: this Caffe chooses by itself")
    plain = messages().NetParameter()
    plain.ParseFromString(network.SerializePartialToString())
    plain.DiscardUnknownFields()
    return plain, understood


def _default_engines(layer: Any) -> set[str]:
    """Leaves the choice of an engine to Caffe, save that of its own kernels; returns what was chosen."""
    found = set()
    if layer.DESCRIPTOR.fields_by_name.get("engine") is not None and layer.HasField("engine"):
        found.add(layer.engine)
    for field, parameter in layer.ListFields():
        kinds = field.message_type and field.message_type.fields_by_name.get("engine")
        if kinds and field.name.endswith("_param") and parameter.HasField("engine"):
            chosen = kinds.enum_type.values_by_number[parameter.engine].name
            if chosen != "CAFFE":
                parameter.ClearField("engine")
                found.add(chosen)
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def layer_around(text: str, line: int) -> tuple[str, str] | None:
    """Name and type of the layer in whose braces a line of a prototxt lies, the first line being 1."""
    depth, start, inside, at = 0, 0, False, 1
    for token in re.finditer(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*|\blayers?\b|[{}]|\n', text):
        word = token.group()
        if word == "\n":
            at += 1
        elif word in ("layer", "layers") and depth == 0:
            start, inside = token.start(), at <= line
        elif word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
            if depth == 0 and inside and at >= line:
                return _own_words(text[start : token.end()])
    return None


def _own_words(block: str) -> tuple[str, str] | None:
    """Name and type of a layer, which stand in its outermost braces."""
    depth = 0
    found: dict[str, str] = {}
    for token in re.finditer(r'#[^\n]*|[{}]|\b(name|type)\s*:\s*("[^"\n]*"|\'[^\'\n]*\'|\w+)', block):
        depth += {"{": 1, "}": -1}.get(token.group(), 0)
        if token.group(1) and depth == 1:
            found.setdefault(token.group(1), token.group(2).strip("\"'"))
    return (found.get("name", ""), found["type"]) if "type" in found else None
