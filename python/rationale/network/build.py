"""Builds a running network from a definition in memory, and tells which layer Caffe refuses."""

import tempfile
from pathlib import Path
from typing import Any

from rationale.errors import NetworkError
from rationale.network.prototxt import NetParameter, to_text
from rationale.network.pycaffe import caffe_errors, messages, pycaffe


def build_net(definition: NetParameter, name: str) -> Any:
    """A `caffe.Net` of a definition, in the TEST phase; `name` is its file's, for errors.

    Raises:
        NetworkError: Caffe refuses a layer, which is named.
    """
    try:
        return _built(definition, name)
    except NetworkError as error:
        layer = definition.layer[_first_refused(definition)]
        said = str(error).partition(": Caffe says: ")[2]
        raise NetworkError(f"{name}: layer {layer.name!r} ({layer.type}): Caffe says: {said}") from error


def _built(definition: NetParameter, name: str) -> Any:
    caffe = pycaffe()
    with tempfile.TemporaryDirectory(prefix="rationale-") as folder:
        path = Path(folder, "network.prototxt")
        path.write_text(to_text(definition), encoding="utf-8")
        with caffe_errors(name):
            return caffe.Net(str(path), caffe.TEST)


def _first_refused(definition: NetParameter) -> int:
    """Number of the layer with which the definition cannot be built any more, found by halving."""
    low, high = 0, len(definition.layer) - 1
    part = messages().NetParameter()
    while low < high:
        middle = (low + high) // 2
        part.CopyFrom(definition)
        del part.layer[middle + 1 :]
        try:
            _built(part, "")
            low = middle + 1
        except NetworkError:
            high = middle
    return low
