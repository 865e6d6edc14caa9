"""zennit's relevance of a plain network, timed on request, in a process and perhaps a Python of its own.

    python benchmarks/zennit_server.py FOLDER DEVICE

FOLDER holds layers.json, a list such as [{"type": "conv", "stride": 1, "pad": 1}, {"type": "relu"}, …], and
weights.npz with arrays "0.weight", "0.bias" … by place in that list. Requests come on standard input, a JSON object a
line, and are answered likewise: {"batch": "batch.npy", "composite": "epsilon-plus-flat", "tf32": false}, with
"forward": true for a forward pass alone and "out": "relevance.npy" to have the result written. Rationale is not
imported: torch and Caffe need not be built for one Python.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent))

from torchvision_stub import stub_torchvision

stub_torchvision()

from zennit import composites
from zennit.attribution import Gradient

COMPOSITES = {
    "epsilon-plus-flat": composites.EpsilonPlusFlat,
    "epsilon-alpha2-beta1-flat": composites.EpsilonAlpha2Beta1Flat,
}


def built(folder: Path) -> nn.Sequential:
    """The network of a folder."""
    weights = np.load(folder / "weights.npz")
    modules: list[nn.Module] = []
    for number, layer in enumerate(json.loads((folder / "layers.json").read_text())):
        if layer["type"] in ("conv", "dense"):
            weight = torch.from_numpy(weights[f"{number}.weight"])
            outputs, inputs, *kernel = weight.shape
            if layer["type"] == "conv":
                modules.append(nn.Conv2d(inputs, outputs, tuple(kernel), layer["stride"], layer["pad"]))
            else:
                modules.append(nn.Linear(inputs, outputs))
            with torch.no_grad():
                modules[-1].weight.copy_(weight)
                modules[-1].bias.copy_(torch.from_numpy(weights[f"{number}.bias"]))
        elif layer["type"] == "max":
            modules.append(nn.MaxPool2d(layer["kernel"], layer["stride"], layer["pad"], ceil_mode=True))
        else:
            modules.append({"relu": nn.ReLU, "flatten": nn.Flatten}[layer["type"]]())
    return nn.Sequential(*modules).requires_grad_(False).eval()


def first_class(output: torch.Tensor) -> torch.Tensor:
    """The score of class 0, at its place."""
    seed = torch.zeros_like(output)
    seed[:, 0] = output[:, 0].detach()
    return seed


def main() -> None:
    """Answers until the input ends."""
    folder, device = Path(sys.argv[1]), sys.argv[2]
    network = built(folder).to(device)
    torch.backends.cudnn.benchmark = True
    batches: dict[str, torch.Tensor] = {}
    print(json.dumps({"torch": torch.__version__, "device": device}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = request["tf32"]
        if request["batch"] not in batches:
            batches = {request["batch"]: torch.from_numpy(np.load(folder / request["batch"]))}
        started = time.perf_counter()
        if request.get("forward"):
            with torch.no_grad():
                found = network(batches[request["batch"]].to(device)).cpu()
        else:
            with Gradient(model=network, composite=COMPOSITES[request["composite"]]()) as attributor:
                found = attributor(batches[request["batch"]].to(device), first_class)[1].cpu()
        seconds = time.perf_counter() - started
        if "out" in request:
            np.save(folder / request["out"], found.numpy())
        print(json.dumps({"seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
