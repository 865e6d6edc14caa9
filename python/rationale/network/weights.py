"""Loads a .caffemodel into a running network and makes sure that every layer got its weights."""

import os
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from rationale.errors import NetworkError
from rationale.network.pycaffe import caffe_errors


def load_weights(net: Any, path: str | PathLike[str]) -> None:
    """Copies the weights of a .caffemodel (protobuf or HDF5) into `net`, matched by layer name.

    Caffe passes silently over layers that the file does not hold; here that is an error.

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
    with caffe_errors(str(path)):
        if str(path).endswith(".h5"):
            net.load_hdf5(str(path))
        else:
            net.copy_from(str(path))
    without = list(dict.fromkeys(name for name, blob in blobs if np.isnan(blob.data.flat[:1]).any()))
    if without:
        names = ", ".join(without[:5]) + (" …" if len(without) > 5 else "")
        raise NetworkError(f"{path}: holds no weights (or NaN) for {names}; is it of another network?")
    for name, blob in blobs:
        if not np.isfinite(blob.data).all():
            raise NetworkError(f"{path}: the weights of {name!r} hold NaN or infinity")
