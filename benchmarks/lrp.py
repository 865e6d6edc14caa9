"""Times LRP against zennit and captum: same weights, same threads, alternating in one process.

    python -m benchmarks.lrp [--quick]

Writes docs/benchmarks.md. Memory is measured in processes of their own, one for each program, so that neither pays for
the other.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rationale.lrp import propagate
from rationale.network import Network
from rationale.network.pycaffe import pycaffe
from rationale.reproduce.measure import keep, measurements_directory

ROOT = Path(__file__).resolve().parents[1]
CASES = [("vgg16", 1), ("vgg16", 8), ("caffenet", 1), ("caffenet", 8), ("imagenet", 1), ("imagenet", 8), ("mnist", 100)]
TITLES = {"vgg16": "VGG-16", "caffenet": "CaffeNet", "imagenet": "SqueezeNet", "mnist": "LeNet"}
COMPOSITES = ["epsilon", "epsilon-plus-flat", "epsilon-alpha2-beta1-flat"]
BARS = {  # ours / zennit
    ("vgg16", 1): {"epsilon": 0.60, "epsilon-plus-flat": 0.55, "epsilon-alpha2-beta1-flat": 0.40},
    ("vgg16", 8): {"epsilon": 0.60, "epsilon-plus-flat": 0.40, "epsilon-alpha2-beta1-flat": 0.40},
    ("imagenet", 1): dict.fromkeys(COMPOSITES, 0.60),
    ("imagenet", 8): dict.fromkeys(COMPOSITES, 0.60),
    ("mnist", 100): dict.fromkeys(COMPOSITES, 0.60),
}
FORWARD_BARS = {"epsilon-plus-flat": 3.0, "epsilon-alpha2-beta1-flat": 4.2}  # VGG-16, in forwards of the same engine


def loaded(model: str, batch: int) -> tuple[Network, np.ndarray]:
    """A network with random weights (the same in every process) and a batch for it."""
    pycaffe().set_random_seed(7)
    network = Network.load(ROOT / "prototxt" / model / "classifier.prototxt")
    (shape,) = network.inputs.values()
    pictures = np.random.default_rng(0).normal(size=(batch, *shape[1:])) * 50
    return network, pictures.astype(np.float32)


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare(model: str, batch: int, rounds: int) -> dict[str, object]:
    """Times of ours and of the peers, round by round, for every composite."""
    import torch

    from benchmarks.peers import Twin, captum_relevance, zennit_relevance

    torch.set_num_threads(torch.get_num_threads())
    network, pictures = loaded(model, batch)
    twin, captums = Twin(network).eval(), Twin(network).eval()
    targets = np.zeros(batch, np.int64)
    tensor = torch.from_numpy(pictures)
    times: dict[str, list[float]] = {}

    def note(name: str, call: Callable[[], object]) -> None:
        times.setdefault(name, []).append(seconds(call))

    def torch_forward() -> None:
        with torch.no_grad():
            twin(tensor)

    for number in range(rounds + 1):
        if number == 1:
            times.clear()  # the first round warms up
        note("forward", lambda: network.forward(pictures))
        note("torch forward", torch_forward)
        for name in COMPOSITES:
            note(name, lambda name=name: propagate(network, pictures, targets, composite=name, keep=["data"]))
            note(f"zennit {name}", lambda name=name: zennit_relevance(twin, pictures, targets, name))
        if model == "vgg16":
            note("captum epsilon", lambda: captum_relevance(captums, pictures, targets))
    return {
        "model": model,
        "batch": batch,
        "rounds": rounds,
        "medians": {name: statistics.median(values) for name, values in times.items()},
        "ratios": {name: _ratio(times[name], times[f"zennit {name}"]) for name in COMPOSITES},
        "forwards": {name: _ratio(times[name], times["forward"])["median"] for name in COMPOSITES},
    }


def _ratio(ours: list[float], theirs: list[float]) -> dict[str, float]:
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(pairs), "least": min(pairs)}


def peak_memory(program: str, model: str, batch: int) -> float:
    """Peak resident memory (MiB) of a process that explains one batch, its imports included."""
    code = f"from benchmarks.lrp import explain_once; explain_once({program!r}, {model!r}, {batch})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout.strip().splitlines()[-1])


def explain_once(program: str, model: str, batch: int) -> None:
    """Explains one batch with `ours` or `zennit` and prints the process's peak memory in MiB."""
    network, pictures = loaded(model, batch)
    if program == "ours":
        propagate(network, pictures, 0, composite="epsilon-plus-flat", keep=["data"])
    else:
        from benchmarks.peers import Twin, zennit_relevance

        twin = Twin(network).eval()
        del network
        zennit_relevance(twin, pictures, np.zeros(batch, np.int64), "epsilon-plus-flat")
    # Not getrusage: a child starts with the peak of the process that it was forked from.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)


def layer_times(model: str, batch: int) -> list[tuple[str, float, float]]:
    """Milliseconds of each layer forward and backward, the slowest first."""
    network, pictures = loaded(model, batch)
    network.forward(pictures)
    rows = []
    for node in network.graph.nodes:
        if node.type in ("Input", "Softmax"):
            continue
        forward = min(seconds(lambda node=node: network.run_forward(node)) for _ in range(3))
        backward = min(seconds(lambda node=node: network.run_backward(node)) for _ in range(3))
        rows.append((f"{node.name} ({node.type})", 1000 * forward, 1000 * backward))
    return sorted(rows, key=lambda row: -row[1] - row[2])


def write_page(figures: dict[str, object]) -> Path:
    """Writes docs/benchmarks.md."""
    lines = ["# Benchmarks", "", "Written by `make bench`; do not edit.", "", "## LRP on the CPU against zennit", ""]
    lines += ["Ratios of times taken one after the other in one run: medians, in brackets the least.", ""]
    lines += ["| network, batch | composite | ours, ms an image | zennit, ms | ours / zennit | bar | in our forwards |"]
    lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
    for case in figures["cases"]:
        title = f"{TITLES[case['model']]}, {case['batch']}"
        for name in COMPOSITES:
            medians, ratio = case["medians"], case["ratios"][name]
            bar = BARS.get((case["model"], case["batch"]), {}).get(name)
            forwards = f"{case['forwards'][name]:.2f}"
            if case["model"] == "vgg16" and name in FORWARD_BARS:
                forwards += f" (bar {FORWARD_BARS[name]})"
            ours, theirs = (1000 * medians[key] / case["batch"] for key in (name, f"zennit {name}"))
            figure = f"**{ratio['median']:.2f}** ({ratio['least']:.2f})"
            lines.append(f"| {title} | `{name}` | {ours:.1f} | {theirs:.1f} | {figure} | {bar or '–'} | {forwards} |")
    lines += ["", "| network, batch | our forward, ms an image | PyTorch's | captum's ε, ms | our ε, ms |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for case in figures["cases"]:
        medians, batch = case["medians"], case["batch"]
        captum = f"{1000 * medians['captum epsilon'] / batch:.1f}" if "captum epsilon" in medians else "–"
        ours, theirs = (1000 * medians[key] / batch for key in ("forward", "torch forward"))
        epsilon = 1000 * medians["epsilon"] / batch
        lines.append(f"| {TITLES[case['model']]}, {batch} | {ours:.1f} | {theirs:.1f} | {captum} | {epsilon:.1f} |")
    lines += ["", "## Peak memory of a process that explains one batch (`epsilon-plus-flat`), MiB", ""]
    lines += ["| network, batch | ours | zennit |", "| --- | --- | --- |"]
    lines += [f"| {TITLES[m]}, {b} | {ours:.0f} | {theirs:.0f} |" for m, b, ours, theirs in figures["memory"]]
    lines += [
        "",
        "## Where VGG-16's time goes, batch 1, ms",
        "",
        "| layer | forward | backward |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {name} | {forward:.1f} | {backward:.1f} |" for name, forward, backward in figures["layers"][:20]]
    path = measurements_directory().parent / "benchmarks.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def main() -> None:
    """Runs everything; with --quick one round of the small networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of the small networks, nothing written")
    parser.add_argument("--rounds", type=int, default=9, help="at most so many for each network (default 9)")
    parser.add_argument("--memory", action="store_true", help="measure the memory anew, keep the times")
    arguments = parser.parse_args()
    if arguments.memory:
        kept = json.loads((measurements_directory() / "benchmarks.json").read_text(encoding="utf-8"))
        kept["memory"] = [(m, b, peak_memory("ours", m, b), peak_memory("zennit", m, b)) for m, b in CASES]
        keep("benchmarks", kept)
        print(f"wrote {write_page(kept)}")
        return
    quick = arguments.quick
    cases = [case for case in CASES if not quick or case[0] in ("mnist", "imagenet")]
    figures: dict[str, object] = {"cases": []}
    for model, batch in cases:
        most = 5 if (model, batch) == ("vgg16", 8) else 9
        rounds = 1 if quick else min(arguments.rounds, most)
        print(f"{TITLES[model]}, batch {batch}", flush=True)
        figures["cases"].append(compare(model, batch, rounds))
    figures["memory"] = [(m, b, peak_memory("ours", m, b), peak_memory("zennit", m, b)) for m, b in cases]
    figures["layers"] = layer_times("vgg16" if not quick else "mnist", 1)
    if not quick:
        keep("benchmarks", figures)
        print(f"wrote {write_page(figures)}")


if __name__ == "__main__":
    main()
