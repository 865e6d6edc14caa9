"""One forward pass that several explanations start from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import RuleError
from rationale.lrp.workspace import Workspace

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Forward:
    """A forward pass of a network, known by what went in and came out: good while the network holds both.

    On a card, where to look would be to wait, it is known by its number: good until the network runs again.
    """

    samples: int
    fingerprint: tuple[int, ...]


def run_forward(space: Workspace, batch: Array | Mapping[str, Array] | Forward) -> Forward:
    """Runs the network on a batch, or makes sure that a pass it has run is still there.

    Raises:
        NetworkError: the batch does not fit; or NaN or infinity comes out, which on a card is told when all is over.
        RuleError: the network has run on something else since.
    """
    network = space.network
    if not isinstance(batch, Forward):
        network.run(batch)
        if space.kernels.looks:
            network.outputs()
        return _held(space)
    network.select()
    if _held(space) != batch:
        raise RuleError(
            f"{network.name}: has run on another batch since that forward pass: give the batch itself once more"
        )
    return batch


def _held(space: Workspace) -> Forward:
    network, kernels = space.network, space.kernels
    if not kernels.looks:
        return Forward(next(iter(network.inputs.values()))[0], (network.passes,))
    blobs = [*network.net._inputs, *network.net._outputs]
    arrays = [network.data(blob) for blob in blobs]
    samples = next(iter(network.inputs.values()))[0]
    return Forward(samples, tuple(kernels.fingerprint(array) for array in arrays))
