"""Network: a Caffe classifier that runs forward on batches of any size and backward from any layer."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.network import device
from rationale.network.build import build_net
from rationale.network.check import check_network
from rationale.network.constants import Constant, from_parameters
from rationale.network.fold import Fold, find_folds, folded_definition, folded_weights
from rationale.network.graph import Graph, Node, read_graph
from rationale.network.outcome import Outcome, outcome_of
from rationale.network.prototxt import NetParameter, read_network
from rationale.network.pycaffe import caffe_errors
from rationale.network.rewrite import for_explaining
from rationale.network.samples import check_samples, sample_axes
from rationale.network.views import HOST, Views, make_blob, views_for
from rationale.network.weights import check_statistics, load_weights
from rationale.network.words import check_words

Array = NDArray[np.float32]
Blob = Any  # caffe.Blob

_log = logging.getLogger(__name__)


class Network:
    """A classifier in Caffe's TEST phase, rewritten so that a backward pass costs about one forward pass.

    Arrays handed out by the public methods are copies; what the pass in `rationale.lrp` works on are views of Caffe's
    own memory (`device_blobs`, `device_weights`), which live until the next forward pass and lie on the card where the
    network does. `data` and `diff` are NumPy's views of the host's memory; on a card each look at one copies it from
    there.
    """

    def __init__(
        self,
        definition: NetParameter,
        net: Any,
        name: str,
        gpu: int | None = None,
        users_names: Mapping[str, str] | None = None,
        constants: Mapping[str, Constant] | None = None,
    ) -> None:
        self.definition = definition
        self.name = name
        self.gpu = gpu
        self.net = net
        shown = {blob: constant.type for blob, constant in (constants or {}).items()}
        self.graph: Graph = read_graph(net, definition.layer, shown)
        self.derived: dict[str, Any] = {}  # what rooms above keep of what they computed from the weights
        self._blobs: list[Blob] = list(net._blobs)
        self._weights: list[list[Blob]] = [list(layer.blobs) for layer in net.layers]
        self.use_views(HOST)
        self.passes = 0  # forward passes so far
        blobs = {self.graph.blob_names[blob]: blob for blob in net._inputs}
        self._constants = {blobs.pop(name): constant for name, constant in (constants or {}).items()}
        self._inputs: dict[str, int] = blobs
        self._shapes = self._input_shapes()
        self.understood: tuple[str, ...] = ()  # what of the files is not simply as it stands there
        self._users_names = dict(users_names or {})  # of blobs that have another name here
        self._reached: set[int] = set()  # blobs that the last backward pass came to
        self._nonnegative: dict[int, bool] = {}  # inputs of the last forward pass

    def use_views(self, views: Views) -> None:
        """Has passes work on the arrays of `views`; of a network on a card, on those of its memory."""
        self.views = views
        self.device_blobs: list[Blob] = [views.wrap(blob) for blob in self._blobs]
        self.device_weights: list[list[Blob]] = [[views.wrap(blob) for blob in each] for each in self._weights]
        self.derived = {}

    def select(self) -> None:
        """Has the calling thread work where the network does.

        Raises:
            DeviceError: that GPU cannot be used.
        """
        device.select(self.gpu)
        self.views.select()

    @classmethod
    def load(
        cls,
        prototxt: str | PathLike[str],
        weights: str | PathLike[str] | None = None,
        *,
        gpu: int | None = None,
        stages: Sequence[str] = (),
        fold: bool = True,
    ) -> Self:
        """Loads any deploy definition, old formats included, with its .caffemodel (or .caffemodel.h5).

        Args:
            prototxt: the definition.
            weights: without them the layers keep what their fillers gave them.
            gpu: number of the card; the CPU where None.
            stages: in which an all-in-one definition is built, beside those of its own `state`.
            fold: put BatchNorm into the layers before it; weights can only be lent to a network without.

        Raises:
            NetworkError: one of the files is missing, damaged, or does not fit the other; in Caffe's own words where
                Caffe found the fault.
            DeviceError: that GPU cannot be used, or there is no CuPy for it.
        """
        device.select(gpu)
        views = views_for(gpu)
        name = str(prototxt)
        understood: list[str] = []
        try:
            original = read_network(prototxt, stages, understood)
            check_network(original, name)
            copy = for_explaining(original, name, understood)
            definition, constants = copy.definition, copy.constants
            net = build_net(definition, name)
            if weights is not None:
                understood += load_weights(net, weights)
            understood += check_statistics(net, original, name)
            folds = find_folds(definition) if fold else []
            if fold and (folds or any(layer.type == "Parameter" for layer in definition.layer)):
                definition, net, more = _fold(definition, net, folds, name)
                constants = {**constants, **more}
            network = cls(definition, net, name, gpu, copy.users_names, constants)
            network._check_samples()
            if views is not HOST:
                network.use_views(views)
        finally:
            for line in understood:
                _log.info("%s: %s", name, line)
        network.understood = tuple(understood)
        network.graph.aliases.update({layer.name: fold.linear.name for fold in folds for layer in fold.absorbed})
        return network

    def _check_samples(self) -> None:
        """Looks at what becomes of a batch of two."""
        axes = sample_axes(self.graph, self._inputs.values())
        before = self.inputs
        try:
            self._reshape({name: (2, *shape[1:]) for name, shape in before.items()})
        except NetworkError:  # constants or fixed shapes: this network takes batches of one
            self._reshape(before)
            return
        shapes = {blob: tuple(each.shape) for blob, each in enumerate(self._blobs)}
        self._reshape(before)
        check_samples(self.graph, axes, shapes, self.name)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{name} {_shape_text(shape)}" for name, shape in self.inputs.items())
        return f"Network({self.name!r}: {inputs}; {len(self.graph.layer_names)} layers)"

    # ---- shapes and names --------------------------------------------------------------------------------------------

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Shape of each input, batch size first, as it stands now."""
        return dict(self._shapes)

    def _input_shapes(self) -> dict[str, tuple[int, ...]]:
        """The same as Caffe has it, which takes its time to say so."""
        return {name: tuple(self._blobs[blob].shape) for name, blob in self._inputs.items()}

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of the output of a layer (or of a blob), batch size first."""
        return tuple(self._blobs[self.graph.blob(name)].shape)

    # ---- forward -----------------------------------------------------------------------------------------------------

    def forward(self, batch: Array | Mapping[str, Array]) -> dict[str, Array]:
        """Runs the network on a batch of any size and returns its outputs by blob name.

        Args:
            batch: float32 (N, C, H, W), already preprocessed; or one array for each input by name.

        Raises:
            NetworkError: the batch does not fit the input, Caffe refuses it, or NaN or infinity goes in or comes out.
        """
        self.run(batch)
        return self.outputs()

    def run(self, batch: Array | Mapping[str, Array]) -> None:
        """The forward pass alone: on a card its numbers stay there.

        Raises:
            NetworkError: the batch does not fit the input, Caffe refuses it, or NaN or infinity goes in.
        """
        self.select()
        arrays = self._input_arrays(batch)
        before = self.inputs
        try:
            self._reshape({name: array.shape for name, array in arrays.items()})
        except NetworkError:
            self._reshape(before)
            raise
        for name, array in arrays.items():
            self._fill(self._inputs[name], array)
            check_words(self.graph, name, array)
        for blob, constant in self._constants.items():
            self._fill(blob, constant.values)
        self.passes += 1
        with caffe_errors(self.name):
            self.net._forward(0, len(self.graph.nodes) - 1)

    def outputs(self) -> dict[str, Array]:
        """Copies of what the last forward pass put out, by blob name.

        Raises:
            NetworkError: NaN or infinity is among it.
        """
        outputs = {}
        for blob in self.net._outputs:
            name = self.graph.blob_names[blob]
            outputs[self._users_names.get(name, name)] = self._copy(self.device_blobs[blob].data)
        for name, values in outputs.items():
            if not np.isfinite(values).all():
                raise NetworkError(f"{self.name}: output {name!r} holds NaN or infinity; check the input and its scale")
        return outputs

    def is_nonnegative(self, blob: int) -> bool:
        """Whether nothing below zero went into an input in the last forward pass."""
        return self._nonnegative[blob]

    def _fill(self, blob: int, values: Array) -> None:
        self.views.write(self.device_blobs[blob].data, values)
        self._nonnegative[blob] = bool(values.min() >= 0)

    def _copy(self, array: Any) -> Array:
        return self.views.copy_to_host(array)

    def activation(self, name: str) -> Array:
        """Copy of what a layer put out, float32 (N, C, H, W), after a plain ReLU or Dropout in place on it."""
        return self._copy(self.device_blobs[self.graph.blob(name)].data)

    def outcome(self, target_layer: str | None = None, meaning: str | None = None) -> Outcome:
        """What the network says of the last forward's batch: see `rationale.network.outcome.outcome_of`."""
        return outcome_of(self, target_layer, meaning)

    def _input_arrays(self, batch: Array | Mapping[str, Array]) -> dict[str, Array]:
        names = list(self.inputs)
        if not isinstance(batch, Mapping):
            if len(names) != 1:
                raise NetworkError(f"{self.name}: has the inputs {', '.join(names)}; give an array for each by name")
            batch = {names[0]: batch}
        if set(batch) != set(names):
            raise NetworkError(f"{self.name}: the inputs are {', '.join(names)}, not {', '.join(batch)}")
        return {name: self._check_input(name, np.asarray(batch[name])) for name in names}

    def _check_input(self, name: str, array: NDArray[Any]) -> Array:
        wanted = self.inputs[name]
        if array.ndim != len(wanted) or array.shape[1:2] != wanted[1:2] or array.size == 0:
            raise NetworkError(f"input {name!r} wants {_shape_text(wanted)}, not {_shape_text(array.shape, full=True)}")
        if array.dtype.kind not in "fiu":
            raise NetworkError(f"input {name!r} wants float32, not {array.dtype}")
        converted = np.ascontiguousarray(array, dtype=np.float32)
        if not np.isfinite(converted).all():
            raise NetworkError(f"input {name!r} holds NaN or infinity")
        return converted

    def _reshape(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        if all(self._shapes[name] == shape for name, shape in shapes.items()):
            return
        for name, shape in shapes.items():
            self._blobs[self._inputs[name]].reshape(*shape)
        self._shapes = self._input_shapes()
        count = next(iter(shapes.values()))[0]
        for blob, constant in self._constants.items():
            if constant.follows:
                self._blobs[blob].reshape(count, *constant.values.shape[1:])
        with caffe_errors(f"{self.name}: an input of {', '.join(map(str, shapes.values()))} does not fit"):
            self.net.reshape()
        if self.views is not HOST:
            for wrapped in self.device_blobs:
                wrapped.refresh()

    # ---- backward ----------------------------------------------------------------------------------------------------

    def backward(
        self,
        layer: str,
        *,
        unit: int | tuple[int, ...] | None = None,
        gradient: Array | None = None,
    ) -> dict[str, Array]:
        """Propagates a gradient from a layer's output down to the inputs, for the last forward's batch.

        Args:
            layer: where to start; a layer with an in-place ReLU above starts below that ReLU.
            unit: start with 1 at this channel (all positions), or at (channel, y, x), of every sample.
            gradient: start with this array, shaped like the layer's output.

        Returns:
            The gradient of each input, by name. `gradient_at` reads it at the layers between.

        Raises:
            NetworkError: no such layer or unit, a wrong shape, or neither or both of unit and gradient.
        """
        self.select()
        start = self.graph.node(layer)
        if (unit is None) == (gradient is None):
            raise NetworkError("backward starts from either a unit or a gradient")
        seed = self._unit_seed(start, unit) if unit is not None else np.asarray(gradient)
        with self.backward_from(start, seed) as path:
            for node in reversed(path):
                if node.type == "Embed":  # words have no gradient
                    self.device_blobs[node.bottoms[0]].diff.fill(0)
                else:
                    self.run_backward(node)
        self._reached = {blob for node in path for blob in node.tops}
        for blob in set(self.net._inputs) - self._reached:
            self.device_blobs[blob].diff.fill(0)  # the layer does not depend on this input
        return {name: self._copy(self.device_blobs[blob].diff) for name, blob in self._inputs.items()}

    def gradient_at(self, name: str) -> Array:
        """Copy of the gradient at a layer's output after `backward`, float32 (N, C, H, W).

        Raises:
            NetworkError: the last backward pass did not come there.
        """
        blob = self.graph.blob(name)
        if blob not in self._reached:
            raise NetworkError(f"the last backward pass did not come to {name!r}")
        return self._copy(self.device_blobs[blob].diff)

    def _unit_seed(self, start: Node, unit: int | tuple[int, ...]) -> Array:
        seed = np.zeros(self._blobs[start.tops[0]].shape, np.float32)
        place = tuple(np.atleast_1d(np.asarray(unit)).tolist())
        sizes = seed.shape[1:]
        inside = (
            all(isinstance(each, int) for each in place)
            and len(place) in (1, len(sizes))
            and all(0 <= each < size for each, size in zip(place, sizes, strict=False))
        )
        if not inside:
            raise NetworkError(f"layer {start.name!r} has no unit {unit}; its output is {_shape_text(seed.shape)}")
        where: tuple[slice | int, ...] = (slice(None), *place)
        seed[where] = 1
        return seed

    @contextmanager
    def backward_from(self, start: Node, seed: Array) -> Iterator[tuple[Node, ...]]:
        """Puts `seed` at the output of `start` and yields the layers below, bottom to top.

        Diffs left by earlier passes in branches that do not lead to `start` are cleared, for Split adds them up.
        """
        top = self.device_blobs[start.tops[0]].diff
        if seed.shape != top.shape:
            raise NetworkError(f"layer {start.name!r} puts out {_shape_text(top.shape, full=True)}, not {seed.shape}")
        for blob in self.graph.unread_below(start):
            self.device_blobs[blob].diff.fill(0)
        self.views.write(top, seed)
        yield self.graph.below(start)

    # ---- Caffe's memory and single layers ----------------------------------------------------------------------------

    def data(self, blob: int) -> Array:
        """View of a blob's activation in the host's memory."""
        return self._blobs[blob].data  # type: ignore[no-any-return]

    def diff(self, blob: int) -> Array:
        """View of a blob's gradient or relevance in the host's memory."""
        return self._blobs[blob].diff  # type: ignore[no-any-return]

    def parameters(self, node: Node) -> list[Array]:
        """Views of a layer's weights and bias in the host's memory.

        Where the network works on a card, a view is good for one change: the next one wants a new view.
        """
        if node.type == "Parameter" and node.tops[0] in self._constants:
            return [self._constants[node.tops[0]].values]
        return [blob.data for blob in self._weights[node.index]]

    def run_forward(self, node: Node) -> None:
        """Runs one layer forward on what its bottom blobs hold."""
        with caffe_errors(f"layer {node.name!r}"):
            self.net._forward(node.index, node.index)

    def run_backward(self, node: Node) -> None:
        """Runs one layer backward on what its top diffs hold."""
        with caffe_errors(f"layer {node.name!r}"):
            self.net._backward(node.index, node.index)

    @contextmanager
    def borrowed(
        self,
        node: Node,
        *,
        weights: list[Blob] | None = None,
        bottom: Blob | None = None,
        top: Blob | None = None,
        bottom_diff: Blob | None = None,
        top_diff: Blob | None = None,
    ) -> Iterator[None]:
        """Lets a one-input layer work with other weights or on other memory, without a copy, inside the block.

        Each Blob, wrapped or not, must hold as many numbers as what it stands in for.
        """
        below, above = self._blobs[node.bottoms[0]], self._blobs[node.tops[0]]
        own = self._weights[node.index]
        swaps = [(mine, other, "data") for mine, other in zip(own, weights or [], strict=False)]
        swaps += [(below, bottom, "data"), (above, top, "data")]
        swaps += [(below, bottom_diff, "diff"), (above, top_diff, "diff")]
        kept = []
        for mine, other, part in swaps:
            if other is not None:
                keep = make_blob((mine.count,))
                getattr(keep, f"share_{part}")(mine)
                kept.append((mine, keep, part))
                getattr(mine, f"share_{part}")(getattr(other, "blob", other))
        try:
            yield
        finally:
            for mine, keep, part in kept:
                getattr(mine, f"share_{part}")(keep)


def _fold(
    definition: NetParameter, net: Any, folds: list[Fold], name: str
) -> tuple[NetParameter, Any, dict[str, Constant]]:
    """A network that computes the same without the BatchNorm and Scale layers that can be folded.

    Its Parameter layers are inputs, and what fills those is returned too.
    """
    weights = {
        layer: [blob.data for blob in each.blobs] for layer, each in zip(net._layer_names, net.layers, strict=True)
    }
    folded = folded_definition(definition, folds)
    constants = from_parameters(folded, weights)
    smaller = build_net(folded, name)
    weights |= dict(folded_weights(weights, folds))
    for layer, each in zip(smaller._layer_names, smaller.layers, strict=True):
        for blob, values in zip(each.blobs, weights.get(layer, []), strict=False):
            blob.data[...] = values
    return folded, smaller, constants


def _shape_text(shape: tuple[int, ...], full: bool = False) -> str:
    return "(" + ", ".join(map(str, shape)) + ")" if full else "(N, " + ", ".join(map(str, shape[1:])) + ")"
