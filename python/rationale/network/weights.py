"""Loads a .caffemodel into a running network and makes sure that every layer got its weights."""

import os
import tempfile
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from rationale.errors import NetworkError
from rationale.network.dialects import plain_weights
from rationale.network.prototxt import NetParameter
from rationale.network.pycaffe import caffe_errors
from rationale.network.rewrite import takes_statistics_of_the_batch
from rationale.network.state import test_phase_layers


def load_weights(net: Any, path: str | PathLike[str]) -> list[str]:
    """Copies the weights of a .caffemodel (protobuf or HDF5) into `net`, matched by layer name.

    Caffe passes silently over layers that the file does not hold; here that is an error. Returns what had to be
    understood, a line each.

    Raises:
        NetworkError: the file is missing, damaged or of another network, or holds NaN.
    """
    if not Path(path).is_file():
        raise NetworkError(f"{path}: no such file of weights")
    if not os.access(path, os.R_OK):
        raise NetworkError(f"{path}: the file of weights may not be read by this user")
    if Path(path).stat().st_size == 0:
        raise NetworkError(f"{path}: the file of weights is empty")
    blobs = [(name, blob) for name, layer in zip(net._layer_names, net.layers, strict=True) for blob in layer.blobs]
    for _, blob in blobs:
        blob.data.flat[:1] = np.nan
    understood: list[str] = []
    if str(path).endswith(".h5"):
        with caffe_errors(str(path)):
            net.load_hdf5(str(path))
    else:
        understood = _copy(net, Path(path))
    without = list(dict.fromkeys(name for name, blob in blobs if np.isnan(blob.data.flat[:1]).any()))
    if without:
        names = ", ".join(without[:5]) + (" …" if len(without) > 5 else "")
        raise NetworkError(f"{path}: holds no weights (or NaN) for {names}; is it of another network?")
    for name, blob in blobs:
        if not np.isfinite(blob.data).all():
            raise NetworkError(f"{path}: the weights of {name!r} hold NaN or infinity")
    return understood


def check_statistics(net: Any, definition: NetParameter, name: str) -> list[str]:
    """Makes sure that BatchNorm layers that would take statistics of each batch have some of their own.

    Those are used instead, for what a network says of one picture must not depend on others; returns a line for each.

    Raises:
        NetworkError: a layer has none.
    """
    layers = dict(zip(net._layer_names, net.layers, strict=True))
    understood = []
    for layer in test_phase_layers(definition):
        if takes_statistics_of_the_batch(layer):
            if not layers[layer.name].blobs[2].data.any():
                raise NetworkError(
                    f"{name}: layer {layer.name!r} (BatchNorm) takes mean and variance of each batch "
                    "(use_global_stats: false), so that a picture would be explained by its neighbours, and has none "
                    "stored; give weights that were trained, which hold them"
                )
            understood.append(f"layer {layer.name!r} uses its stored mean and variance, not those of each batch")
    return understood


def _copy(net: Any, path: Path) -> list[str]:
    """Copies from a protobuf file; where Caffe cannot read it, perhaps because another build wrote it, by hand."""
    try:
        with caffe_errors(str(path)):
            net.copy_from(str(path))
        return []
    except NetworkError as refused:
        try:
            plain = plain_weights(path.read_bytes())
        except DecodeError:
            raise refused from None
        except ValueError as error:
            raise NetworkError(f"{path}: {error}") from error
        if plain is None:
            raise
    with tempfile.NamedTemporaryFile(prefix="rationale-", suffix=".caffemodel") as file, caffe_errors(str(path)):
        file.write(plain[0])
        file.flush()
        net.copy_from(file.name)
    return plain[1]
