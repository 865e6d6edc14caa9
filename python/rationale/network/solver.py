"""Caffe's own solver, fed from Python batch by batch, with snapshots that survive a kill."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from rationale.errors import NetworkError, OutputError
from rationale.fetching.digest import short_digest
from rationale.network import device
from rationale.network.check import check_files
from rationale.network.graph import read_graph
from rationale.network.network import Network
from rationale.network.prototxt import read_message, read_network, to_text
from rationale.network.pycaffe import caffe_errors, messages, pycaffe
from rationale.network.sequence import SequenceNetwork
from rationale.network.state import layers_in
from rationale.network.words import check_words

Array = NDArray[np.float32]

_LEAST_ROOM = 4096  # bytes left on a disk; with fewer, the end of what was written last may be missing


class Solver:
    """One training run: momentum, learning rate policy and weight decay are Caffe's, the batches come from us."""

    def __init__(self, solver: Any, parameter: Any, network: Any, folder: Path) -> None:
        self._solver = solver
        self._folder = folder
        self.parameter = parameter  # caffe.SolverParameter as read from the prototxt
        self.network = network  # caffe.NetParameter of what is trained
        self._graph = read_graph(solver.net, network.layer)
        self._losses = _losses(solver.net, network)

    @classmethod
    def load(
        cls, prototxt: str | PathLike[str], folder: Path, *, seed: int | None = None, gpu: int | None = None
    ) -> Self:
        """Reads a solver definition whose network has Input layers; its `net` is relative to the file.

        Snapshots go to `folder`, which must exist; `seed` goes before the definition's `random_seed`.

        Raises:
            NetworkError: a file is missing or wrong.
        """
        device.select(gpu)
        parameter = read_message(prototxt, messages().SolverParameter())
        running = messages().SolverParameter()
        running.CopyFrom(parameter)
        if seed is not None:
            parameter.random_seed = running.random_seed = seed
        if not parameter.net:
            raise NetworkError(f"{prototxt}: names no `net`")
        for field in ("net_param", "train_net", "test_net", "train_net_param", "test_net_param"):
            if field in {each.name for each, _ in parameter.ListFields()}:
                raise NetworkError(f"{prototxt}: has a {field}; give the network as `net` alone")
        running.net = str(Path(prototxt).resolve().parent / parameter.net)
        _check_files(read_network(running.net), parameter, running.net)
        running.solver_mode = messages().SolverParameter.SolverMode.Value("CPU" if gpu is None else "GPU")
        running.test_interval = 0  # the accuracy is measured by hand, too
        running.snapshot = 0  # taken by hand, see `snapshot`
        running.snapshot_prefix = str(folder.resolve() / "snapshot")
        running.display = 0
        with tempfile.TemporaryDirectory(prefix="rationale-") as temporary:
            path = Path(temporary, "solver.prototxt")
            path.write_text(to_text(running), encoding="utf-8")
            with caffe_errors(str(prototxt)):
                solver = pycaffe().get_solver(str(path))
        network = read_message(running.net, messages().NetParameter())
        made = cls(solver, parameter, network, folder)
        if not made._losses:
            raise NetworkError(f"{parameter.net}: has no layer with a loss, so that nothing can be learnt")
        return made

    @staticmethod
    def network_of(prototxt: str | PathLike[str]) -> Path:
        """The definition that a solver's prototxt names.

        Raises:
            NetworkError: it names none, or cannot be read.
        """
        net = str(read_message(prototxt, messages().SolverParameter()).net)
        if not net:
            raise NetworkError(f"{prototxt}: names no `net`")
        return Path(prototxt).parent / net

    def fingerprint(self) -> str:
        """Twelve digits of a SHA-256 over what decides the weights, but for the seed: both definitions."""
        solver = messages().SolverParameter()
        solver.CopyFrom(self.parameter)
        for name in ("random_seed", "snapshot", "test_interval", "display"):
            solver.ClearField(name)
        return short_digest((to_text(solver) + to_text(self.network)).encode())

    @property
    def iteration(self) -> int:
        """Number of updates made so far."""
        return int(self._solver.iter)

    def batch_size(self, name: str | None = None, axis: int = 0) -> int:
        """Size of the batches that the training network takes: of an axis of an input, the first input where None."""
        net = self._solver.net
        return int(net.blobs[name or net.inputs[0]].shape[axis])

    def step(self, batch: Mapping[str, Array]) -> float:
        """Makes one update with this batch (an array for each Input layer) and returns the loss."""
        self._fill(batch)
        with caffe_errors("the solver"):
            self._solver.step(1)
        blobs = self._solver.net.blobs
        return self._finite(sum(weight * float(blobs[name].data.sum()) for name, weight in self._losses.items()))

    def update(
        self, batch: Mapping[str, Array], gradient: Callable[[dict[str, Array]], tuple[float, dict[str, Array]]]
    ) -> float:
        """Makes one update by a loss that is computed in Python, and returns it.

        Args:
            batch: an array for each Input layer.
            gradient: given copies of the network's outputs by name, the loss and its gradient at some of them; their
                layers want a loss_weight in the prototxt, so that Caffe goes backward from there.

        Raises:
            NetworkError: Caffe refuses, the loss is not finite, or a word has a number that does not exist.
        """
        net = self._solver.net
        self._fill(batch)
        with caffe_errors("the solver"):
            net.clear_param_diffs()
            net._forward(0, len(net.layers) - 1)
            loss, gradients = gradient({name: net.blobs[name].data.copy() for name in net.outputs})
            self._finite(loss)
            for name, values in gradients.items():
                net.blobs[name].diff[...] = values
            net._backward(len(net.layers) - 1, 0)
            self._solver.apply_update()
        return loss

    def _fill(self, batch: Mapping[str, Array]) -> None:
        for name, array in batch.items():
            check_words(self._graph, name, array)
            self._solver.net.blobs[name].data[...] = array

    def _finite(self, loss: float) -> float:
        if not np.isfinite(loss):
            raise NetworkError(f"the loss is {loss} at update {self.iteration}: lower base_lr in the solver's prototxt")
        return loss

    def batch_accuracy(self) -> float:
        """Share of the last batch that got its label as the highest score, with the weights before the update."""
        net = self._solver.net
        names = list(net._blob_names)
        loss = next(at for at in range(len(net.layers)) if {names[top] for top in net._top_ids(at)} & set(self._losses))
        scores, labels = (net.blobs[names[bottom]].data for bottom in list(net._bottom_ids(loss))[:2])
        return float((scores.reshape(len(scores), -1).argmax(1) == labels.ravel()).mean())

    def weights(self) -> dict[str, Array]:
        """Copies of all weights, by layer and number: "conv1/0"."""
        params = self._solver.net.params
        return {f"{layer}/{at}": blob.data.copy() for layer, blobs in params.items() for at, blob in enumerate(blobs)}

    def set_weights(self, weights: Mapping[str, Array]) -> None:
        """Writes what `weights` gave back."""
        for name, values in weights.items():
            layer, _, number = name.rpartition("/")
            self._solver.net.params[layer][int(number)].data[...] = values

    def seed(self, seed: int) -> None:
        """Restarts Caffe's random numbers (dropout), so that a resumed run repeats an uninterrupted one."""
        pycaffe().set_random_seed(seed)

    def lend_weights(self, network: Network | SequenceNetwork) -> None:
        """Lets `network` run on the weights being trained, without a copy.

        Raises:
            NetworkError: their layers differ in shape, or BatchNorm was folded into them.
        """
        if isinstance(network, Network) and network.graph.aliases:
            raise NetworkError(
                f"{network.name}: BatchNorm was folded in, so that no weights fit: load it with fold=False"
            )
        with caffe_errors(f"{network.name} differs from the network that is trained"):
            network.net.share_with(self._solver.net)

    def begin_with(self, weights: Path) -> None:
        """Takes the weights of layers of the same name from a .caffemodel; the others keep what their fillers gave.

        Raises:
            NetworkError: the file is missing, or layers of the same name differ in shape.
        """
        if not weights.is_file():
            raise NetworkError(f"{weights}: there is no such file to begin with")
        with caffe_errors(f"{weights} does not fit the network that is trained"):
            self._solver.net.copy_from(str(weights))

    def save_weights(self, path: str | PathLike[str]) -> None:
        """Writes the weights as a .caffemodel, in one step.

        Raises:
            OutputError: it cannot be written.
        """
        partial = Path(f"{path}.{os.getpid()}.part")
        with _written(partial):
            self._solver.net.save(str(partial))
        os.replace(partial, path)

    def snapshot(self) -> Path:
        """Writes weights and solver state and returns the path of the state.

        Raises:
            OutputError: they cannot be written; nothing is left of them.
        """
        state = self._folder / f"snapshot_iter_{self.iteration}.solverstate"
        with _written(state, state.with_suffix(".caffemodel")):
            self._solver.snapshot()
        return state

    def restore(self, state: Path) -> None:
        """Goes on from a snapshot, also one whose folder was moved since.

        Raises:
            NetworkError: a file of the snapshot is missing or damaged.
        """
        message = messages().SolverState()
        try:
            message.ParseFromString(state.read_bytes())
        except (OSError, DecodeError) as error:
            raise NetworkError(f"{state}: the snapshot cannot be read ({error}); remove it to start anew") from error
        message.learned_net = str(state.with_suffix(".caffemodel"))
        with tempfile.TemporaryDirectory(prefix="rationale-") as temporary, caffe_errors(str(state)):
            moved = Path(temporary, "moved.solverstate")
            moved.write_bytes(message.SerializeToString())
            self._solver.restore(str(moved))


@contextmanager
def _written(*paths: Path) -> Iterator[None]:
    """Around Caffe's writing of files: where it fails, which Caffe does not notice at a file's very end, none is left.

    Raises:
        OutputError: they could not be written.
    """
    folder, reason = paths[0].parent, None
    try:
        with caffe_errors(str(folder)):
            yield
    except NetworkError as error:
        reason = str(error)
    if shutil.disk_usage(folder).free < _LEAST_ROOM:
        reason = os.strerror(errno.ENOSPC)
    if reason is not None:
        for path in paths:
            path.unlink(missing_ok=True)
        raise OutputError(f"{paths[0]}: cannot be written ({reason})")


def _check_files(network: Any, parameter: Any, name: str) -> None:
    """Refuses layers that read or write files, in training and, if there is any, in testing.

    Raises:
        NetworkError: there is one.
    """
    trained = messages().NetState(phase=messages().TRAIN, level=parameter.train_state.level)
    trained.stage.extend(parameter.train_state.stage)
    tested = [
        messages().NetState(phase=messages().TEST, level=each.level, stage=each.stage) for each in parameter.test_state
    ]
    states = [trained, *(tested or [messages().NetState(phase=messages().TEST)])]
    for state in states:
        for layer in layers_in(network, state, own=True):
            check_files(layer, name, "let Input layers stand there, which Rationale fills")


def _losses(net: Any, network: Any) -> dict[str, float]:
    """Weight of each blob that adds to the loss, by name."""
    given = {layer.name: list(layer.loss_weight) for layer in network.layer}
    found: dict[str, float] = {}
    for index, name in enumerate(net._layer_names):
        usual = [1.0] if net.layers[index].type.endswith("Loss") else []
        for top, weight in zip(net._top_ids(index), given.get(name) or usual, strict=False):
            found[str(net._blob_names[top])] = float(weight)
    return {name: weight for name, weight in found.items() if weight}
