"""Times LRP on a card against zennit on the same card, in turns, and against the bare convolutions.

    python -m benchmarks.gpu [--gpu 0] [--peers-python PATH]     a card is wanted; writes its figures into docs/gpu.md
    python -m benchmarks.gpu --cpu                               the same with LeNet on the processor, written nowhere

Both sides get the batch in the host's memory and bring the relevance of the pixels there. fp32 stands against fp32 and
TF32 against TF32. torch and zennit run in a process of their own, with the Python given.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cupti import HostCopies
from benchmarks.marks import write_between
from rationale.errors import DeviceError, RationaleError
from rationale.lrp import propagate
from rationale.lrp.workspace import Workspace
from rationale.network import Network, Node, device
from rationale.network.pycaffe import pycaffe
from rationale.reproduce.measure import keep, machine

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/gpu.md"
BEGIN = "<!-- figures: written by python -m benchmarks.gpu -->"
COMPOSITES = ("epsilon-plus-flat", "epsilon-alpha2-beta1-flat")
MOST_OF_ZENNIT = 0.30
MOST_OF_CONVOLUTIONS = 1.15  # of two forward passes and one backward pass, for epsilon-plus-flat at batch 8 and 32
PRECISIONS = {"fp32": False, "TF32": True}


class Zennit:
    """zennit in a process of its own.

    Raises:
        DeviceError: it does not start.
    """

    def __init__(self, network: Network, folder: Path, python: str, where: str) -> None:
        layers, weights = described(network)
        (folder / "layers.json").write_text(json.dumps(layers), encoding="utf-8")
        np.savez(folder / "weights.npz", **weights)
        command = [python, str(ROOT / "benchmarks/zennit_server.py"), str(folder), where]
        self.folder = folder
        self._log = (folder / "log").open("w+", encoding="utf-8")
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._log}
        self._process = subprocess.Popen(command, text=True, env=peers_environment(python), **pipes)
        self.about = self._answer()

    def seconds(self, **request: object) -> float:
        """How long it took."""
        self._process.stdin.write(json.dumps(request) + "\n")  # type: ignore[union-attr]
        self._process.stdin.flush()  # type: ignore[union-attr]
        return float(self._answer()["seconds"])

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(60)
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            self._process.wait(60)
            self._log.seek(0)
            last = (self._log.read().strip().splitlines() or ["nothing"])[-1]
            raise DeviceError(f"zennit does not run ({last}); `make peers` installs it, --peers-python names a Python")
        return dict(json.loads(line))


def peers_environment(python: str) -> dict[str, str]:
    """Of a Python other than this one: without what this one was told of its own libraries.

    PEERS_PYTHONPATH and PEERS_LD_LIBRARY_PATH stand for that one's.
    """
    if python == sys.executable:
        return dict(os.environ)
    own = ("PYTHONHOME", "PYTHONPATH", "LD_LIBRARY_PATH")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    return kept | {name: os.environ[f"PEERS_{name}"] for name in own if os.environ.get(f"PEERS_{name}")}


def described(network: Network) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The layers below the scores of a network that is a chain, and their weights by place.

    Raises:
        RationaleError: it is no chain of the layers that `zennit_server` knows.
    """
    layers: list[dict[str, Any]] = []
    weights: dict[str, np.ndarray] = {}
    for node in network.graph.below(network.graph.score_node()):
        if node.type in ("Input", "Dropout"):
            continue
        if len(node.bottoms) != 1 or node.type not in ("Convolution", "InnerProduct", "ReLU", "Pooling"):
            raise RationaleError(f"{network.name}: {node.name!r} ({node.type}) cannot be compared here")
        if node.type == "InnerProduct" and not any(layer["type"] == "flatten" for layer in layers):
            layers.append({"type": "flatten"})
        if node.type in ("Convolution", "InnerProduct"):
            names = (f"{len(layers)}.weight", f"{len(layers)}.bias")
            weights |= dict(zip(names, network.parameters(node), strict=True))
        layers.append(_layer(node))
    return layers, weights


def _layer(node: Node) -> dict[str, Any]:
    if node.type == "Convolution":
        how = node.parameter.convolution_param
        return {"type": "conv", "stride": next(iter(how.stride), 1), "pad": next(iter(how.pad), 0)}
    if node.type == "Pooling":
        how = node.parameter.pooling_param
        return {"type": "max", "kernel": how.kernel_size, "stride": how.stride, "pad": how.pad}
    return {"type": "dense" if node.type == "InnerProduct" else "relu"}


def loaded(model: str, gpu: int | None) -> Network:
    """A network with random weights, the same each time."""
    pycaffe().set_random_seed(7)
    return Network.load(ROOT / "prototxt" / model / "classifier.prototxt", gpu=gpu)


def finish(network: Network) -> None:
    """Waits for the card."""
    if network.views.on_card:
        network.views.xp.cuda.Device(network.gpu).synchronize()


def bare_convolutions(network: Network) -> None:
    """Two forward passes and one backward pass of every convolution, after a forward pass of the network."""
    network.select()
    convolutions = [node for node in network.graph.nodes if node.type == "Convolution"]
    for node in convolutions:
        network.run_forward(node)
        network.run_forward(node)
    for node in reversed(convolutions):
        network.run_backward(node)
    finish(network)


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare(network: Network, zennit: Zennit, batch: np.ndarray, tf32: bool, rounds: int) -> dict[str, Any]:
    """Times of both sides, in turns, after two rounds that warm up."""
    np.save(zennit.folder / f"batch-{len(batch)}.npy", batch)
    wish: dict[str, Any] = {"batch": f"batch-{len(batch)}.npy", "tf32": tf32}
    times: dict[str, list[float]] = {}

    def note(name: str, taken: float) -> None:
        times.setdefault(name, []).append(taken)

    for number in range(rounds + 2):
        if number == 2:
            times.clear()
        note("forward", seconds(lambda: network.forward(batch)))
        note("torch forward", zennit.seconds(**wish, forward=True))
        note("convolutions", seconds(lambda: bare_convolutions(network)))
        for name in COMPOSITES:
            note(name, seconds(lambda name=name: propagate(network, batch, 0, composite=name, keep=["data"])))
            note(f"zennit {name}", zennit.seconds(**wish, composite=name))
    medians = {name: statistics.median(values) for name, values in times.items()}
    ratios = {name: statistics.median(map(_divided, times[name], times[f"zennit {name}"])) for name in COMPOSITES}
    of_convolutions = statistics.median(map(_divided, times[COMPOSITES[0]], times["convolutions"]))
    return {"batch": len(batch), "medians": medians, "ratios": ratios, "of_convolutions": of_convolutions}


def _divided(one: float, other: float) -> float:
    return one / other


def agreement(network: Network, model: str, zennit: Zennit, batch: np.ndarray) -> list[dict[str, Any]]:
    """Largest difference from the processor's relevance and from zennit's, as a share of the largest relevance."""
    rows = []
    np.save(zennit.folder / "one.npy", batch)
    on_processor = loaded(model, None)
    for name in COMPOSITES:
        own = propagate(network, batch, 0, composite=name, keep=["data"])["data"]
        expected = propagate(on_processor, batch, 0, composite=name, keep=["data"])["data"]
        zennit.seconds(batch="one.npy", tf32=False, composite=name, out="found.npy")
        theirs = np.load(zennit.folder / "found.npy")
        size = float(np.abs(expected).max())
        rows.append(
            {
                "composite": name,
                "processor": float(np.abs(own - expected).max()) / size,
                "zennit": float(np.abs(own - theirs).max()) / size,
            }
        )
    return rows


def host_copies(network: Network, batch: np.ndarray) -> dict[str, Any]:
    """Copies to the host in a pass: those before its last layer is done, and all; on the processor there is no card.

    With CUPTI in reach, as NVIDIA's profilers see them.
    """
    if not network.views.on_card:
        return {"profiled": "no card"}
    found: dict[str, Any] = {"profiled": "by CUPTI"}
    try:
        copies = HostCopies()
        for name in COMPOSITES:
            propagate(network, batch, 0, composite=name, keep=["data"])  # what it keeps is there after this one
            on_the_way, everything = _watched(copies, network, batch, name)
            found[name] = {"on the way": on_the_way, "in all": everything}
    except OSError as error:
        return {"profiled": f"not: {error}"}
    return found


def _watched(copies: HostCopies, network: Network, batch: np.ndarray, composite: str) -> tuple[list[int], list[int]]:
    """Sizes of the copies before the walk is over, and of all."""
    over = Workspace.weights_changed
    with ExitStack() as watch:
        first = watch.enter_context(copies.watching())

        def stop(space: Workspace) -> bool:
            finish(network)
            watch.close()
            return over(space)

        watch.callback(setattr, Workspace, "weights_changed", over)
        Workspace.weights_changed = stop  # type: ignore[method-assign]
        propagate(network, batch, 0, composite=composite, keep=["data"])
    with copies.watching() as all_:
        propagate(network, batch, 0, composite=composite, keep=["data"])
        finish(network)
    return first, all_


def measure(gpu: int | None, python: str, rounds: int) -> dict[str, Any]:
    """All figures; LeNet's on the processor where `gpu` is None."""
    model, batches = ("mnist", (1, 2)) if gpu is None else ("vgg16", (1, 8, 32))
    figures: dict[str, Any] = {"model": model, "rounds": rounds, "cases": [], "card": card_name(gpu)}
    with tempfile.TemporaryDirectory(prefix="rationale-gpu-") as folder:
        zennit = Zennit(loaded(model, None), Path(folder), python, "cpu" if gpu is None else f"cuda:{gpu}")
        figures["torch"] = zennit.about["torch"]
        try:
            for precision, tf32 in PRECISIONS.items():
                if hasattr(pycaffe()._caffe, "set_tf32"):
                    pycaffe()._caffe.set_tf32(tf32)
                network = loaded(model, gpu)
                (shape,) = network.inputs.values()
                for count in batches:
                    print(f"{model}, {precision}, batch {count}", file=sys.stderr, flush=True)
                    batch = np.random.default_rng(0).normal(size=(count, *shape[1:])).astype(np.float32) * 50
                    found = compare(network, zennit, batch, tf32, rounds)
                    figures["cases"].append({"precision": precision, **found})
                if not tf32:
                    figures["agreement"] = agreement(network, model, zennit, batch[:1])
                    figures["copies"] = host_copies(network, batch[:1])
                del network
        finally:
            zennit.close()
    return figures


def card_name(gpu: int | None) -> str:
    """What it ran on."""
    if gpu is None:
        return "the processor"
    import cupy

    version = cupy.cuda.runtime.driverGetVersion()
    name = cupy.cuda.runtime.getDeviceProperties(gpu)["name"].decode()
    return f"{name}, its driver for CUDA {version // 1000}.{version % 1000 // 10}"


def lines_of(figures: dict[str, Any], where: dict[str, str]) -> list[str]:
    """The figures in Markdown."""
    lines = [
        f"{figures['model']} with random weights on {figures['card']}; {where['versions']}, torch {figures['torch']}; "
        f"{where['date']}. Medians of {figures['rounds']} rounds in turns.",
        "",
        f"| | batch | composite | ours, ms an image | zennit, ms | ours / zennit (bar {MOST_OF_ZENNIT:.2f}) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case in figures["cases"]:
        for name in COMPOSITES:
            ours, theirs = (1000 * case["medians"][key] / case["batch"] for key in (name, f"zennit {name}"))
            ratio = case["ratios"][name]
            lines.append(
                f"| {case['precision']} | {case['batch']} | `{name}` | {ours:.2f} | {theirs:.2f} | **{ratio:.2f}** |"
            )
    lines += [
        "",
        "| | batch | forward, ms an image | torch's | convolutions, 2 forward + 1 backward | "
        f"`{COMPOSITES[0]}` / these (bar {MOST_OF_CONVOLUTIONS} from batch 8) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for case in figures["cases"]:
        times = [1000 * case["medians"][key] / case["batch"] for key in ("forward", "torch forward", "convolutions")]
        cells = " | ".join(f"{each:.2f}" for each in times)
        lines.append(f"| {case['precision']} | {case['batch']} | {cells} | **{case['of_convolutions']:.2f}** |")
    lines += ["", "| composite | largest difference from the processor's | from zennit's |", "| --- | --- | --- |"]
    lines += [
        f"| `{row['composite']}` | {row['processor']:.1e} | {row['zennit']:.1e} |" for row in figures["agreement"]
    ]
    copies = figures["copies"]
    lines += ["", f"Copies to the host ({copies['profiled']}):"]
    for name in COMPOSITES:
        if name in copies:
            first, all_ = copies[name]["on the way"], copies[name]["in all"]
            lines.append(f"- `{name}`: {len(first)} before the walk is over, {len(all_)} in all ({sum(all_)} bytes)")
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures; 2 where that cannot be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", type=int, default=0, help="number of the card (default 0)")
    parser.add_argument("--cpu", action="store_true", help="LeNet on the processor, to try the script")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--peers-python", default=sys.executable, help="that has torch and zennit")
    parser.add_argument("--page", type=Path, help="where the figures go (default: docs/gpu.md; with --cpu nowhere)")
    asked = parser.parse_args(arguments)
    gpu = None if asked.cpu else asked.gpu
    try:
        device.select(gpu)
        figures = measure(gpu, asked.peers_python, asked.rounds)
        lines = lines_of(figures, machine())
        print("\n".join(lines))
        page = asked.page or (None if asked.cpu else PAGE)
        if not asked.cpu:
            keep("gpu", figures)
        if page is not None:
            write_between(page, BEGIN, lines)
            print(f"wrote {page}", file=sys.stderr)
    except RationaleError as error:
        print(f"benchmarks.gpu: {error} (--cpu tries the script without a card)", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
