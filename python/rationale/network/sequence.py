"""SequenceNetwork: a time-major Caffe network (steps × samples), such as one that writes sentences word by word."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.fetching.digest import short_digest
from rationale.network import device
from rationale.network.build import build_net
from rationale.network.check import check_network
from rationale.network.graph import read_graph
from rationale.network.prototxt import NetParameter, read_network
from rationale.network.pycaffe import caffe_errors
from rationale.network.state import test_phase_layers
from rationale.network.weights import load_weights
from rationale.network.words import check_words

Array = NDArray[np.float32]


class SequenceNetwork:
    """A recurrent network in Caffe's TEST phase: the number of steps is fixed, that of the samples is not.

    The input named `cont` (steps, samples) says where a sequence goes on (1) and where one begins (0). In every other
    input, the first axis that is as long as `cont`'s second is that of the samples.
    """

    def __init__(self, net: Any, definition: NetParameter, name: str, gpu: int | None = None) -> None:
        self.net = net
        self.name = name
        self.gpu = gpu
        self._graph = read_graph(net, definition.layer)
        shapes = {str(each): tuple(int(size) for size in net.blobs[each].shape) for each in net.inputs}
        if len(shapes.get("cont", ())) != 2:
            raise NetworkError(f"{name}: a time-major network has an input 'cont', steps × samples")
        self.steps, samples = shapes["cont"]
        if self.steps == samples:
            raise NetworkError(f"{name}: give 'cont' unlike numbers of steps and samples, to tell them apart")
        if without := [each for each, shape in shapes.items() if samples not in shape]:
            raise NetworkError(f"{name}: input {without[0]!r} has no axis of {samples} samples, as 'cont' has")
        self._shapes = shapes
        self._axes = {each: shape.index(samples) for each, shape in shapes.items()}

    @classmethod
    def load(
        cls, prototxt: str | PathLike[str], weights: str | PathLike[str] | None = None, *, gpu: int | None = None
    ) -> Self:
        """Loads a definition with its .caffemodel; without weights the layers keep what their fillers gave them.

        Raises:
            NetworkError: a file is missing, damaged, or does not fit the other, or the network is not time-major.
        """
        device.select(gpu)
        definition = read_network(prototxt)
        check_network(definition, str(prototxt))
        layers = test_phase_layers(definition)
        del definition.layer[:]
        definition.layer.extend(layers)
        for layer in definition.layer:
            del layer.include[:], layer.exclude[:]
        net = build_net(definition, str(prototxt))
        if weights is not None:
            load_weights(net, weights)
        return cls(net, definition, str(prototxt), gpu)

    def size(self, name: str, axis: int) -> int:
        """Length of an axis of an input, as the definition has it.

        Raises:
            NetworkError: there is no such input or axis.
        """
        if name not in self._shapes or axis >= len(self._shapes[name]):
            raise NetworkError(f"{self.name}: has no input {name!r} with {axis + 1} axes; it has {self._shapes}")
        return self._shapes[name][axis]

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(self._shapes)

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the outputs, by name."""
        return {str(each): tuple(int(size) for size in self.net.blobs[each].shape) for each in self.net.outputs}

    def forward(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Array]:
        """Runs the network on any number of samples and returns copies of its outputs by name.

        Raises:
            NetworkError: an input is missing or does not fit, or holds a number that is no word's.
        """
        device.select(self.gpu)
        if set(arrays) != set(self._shapes):
            raise NetworkError(f"{self.name}: the inputs are {', '.join(self._shapes)}, not {', '.join(arrays)}")
        blobs = self.net.blobs
        counts = {
            each: array.shape[self._axes[each]] for each, array in arrays.items() if array.ndim > self._axes[each]
        }
        reshaped = False
        for each, array in arrays.items():
            wanted = list(self._shapes[each])
            wanted[self._axes[each]] = counts.get("cont", 0)
            if list(array.shape) != wanted or array.size == 0:
                raise NetworkError(f"{self.name}: input {each!r} wants {tuple(wanted)}, not {array.shape}")
            if tuple(blobs[each].shape) != array.shape:
                blobs[each].reshape(*array.shape)
                reshaped = True
        with caffe_errors(self.name):
            if reshaped:
                self.net.reshape()
            for each, array in arrays.items():
                values = np.asarray(array, np.float32)
                check_words(self._graph, each, values)
                blobs[each].data[...] = values
            self.net._forward(0, len(self.net.layers) - 1)
        return {each: blobs[each].data.copy() for each in self.net.outputs}

    def fingerprint(self) -> str:
        """Twelve digits of a SHA-256 over its weights."""
        return short_digest(b"".join(blob.data.tobytes() for blobs in self.net.params.values() for blob in blobs))

    def lend_weights(self, other: "SequenceNetwork") -> None:
        """Lets another network with layers of the same names run on this one's weights, without a copy.

        Raises:
            NetworkError: their layers differ in shape.
        """
        with caffe_errors(f"{other.name} differs from {self.name}"):
            other.net.share_with(self.net)

    def parameters(self, layer: str) -> Sequence[Array]:
        """Views of a layer's weights.

        Raises:
            NetworkError: there is no such layer, or it has none.
        """
        if layer not in self.net.params:
            raise NetworkError(f"{self.name}: no layer {layer!r} has weights; there are {', '.join(self.net.params)}")
        return [blob.data for blob in self.net.params[layer]]
