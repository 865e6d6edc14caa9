"""One forward pass that several explanations start from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.workspace import Workspace
from rationale.network import device

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Forward:
    """A forward pass of a network, known by what went in and came out: good while the network holds both."""

    samples: int
    fingerprint: tuple[int, ...]


def run_forward(space: Workspace, batch: Array | Mapping[str, Array] | Forward) -> Forward:
    """Runs the network on a batch, or makes sure that a pass it has run is still there.

    Raises:
        NetworkError: the batch does not fit.
        RuleError: the network has run on something else since.
    """
    network = space.network
    if not isinstance(batch, Forward):
        network.forward(batch)
        return _held(space)
    device.select(network.gpu)
    if _held(space) != batch:
        raise RuleError(
            f"{network.name}: has run on another batch since that forward pass: give the batch itself once more"
        )
    return batch


def _held(space: Workspace) -> Forward:
    network, kernels = space.network, space.kernels
    blobs = [*network.net._inputs, *network.net._outputs]
    arrays = [network.data(blob) for blob in blobs]
    samples = next(iter(network.inputs.values()))[0]
    return Forward(samples, tuple(kernels.fingerprint(array) for array in arrays))
