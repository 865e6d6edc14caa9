"""Small networks for the tests, written as prototxt."""

from pathlib import Path

import numpy as np

from rationale.network import Network
from rationale.network.pycaffe import pycaffe

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: %s } } }\n'


def definition(body: str, shape: tuple[int, ...] = (1, 3, 8, 8)) -> str:
    """A network with one Input layer of `shape` and the layers in `body`."""
    return 'name: "test"\n' + INPUT % " dim: ".join(map(str, shape)) + body


def layer(name: str, type_: str, bottom: str | None = None, top: str | None = None, more: str = "") -> str:
    """One layer; its top has its name unless said otherwise."""
    bottoms = "".join(f' bottom: "{each}"' for each in (bottom or "").split())
    return f'layer {{ name: "{name}" type: "{type_}"{bottoms} top: "{top or name}" {more} }}\n'


def convolution(name: str, bottom: str, outputs: int, kernel: int, more: str = "") -> str:
    filler = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
    parameter = f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} {filler} {more} }}"
    return layer(name, "Convolution", bottom, more=parameter)


def dense(name: str, bottom: str, outputs: int, more: str = "") -> str:
    filler = 'weight_filler { type: "gaussian" std: 0.3 } bias_filler { type: "gaussian" std: 0.3 }'
    return layer(name, "InnerProduct", bottom, more=f"inner_product_param {{ num_output: {outputs} {filler} {more} }}")


def low_and_high() -> str:
    """Two convolutions with a ReLU in place between them, and a dense layer: low, relu, high, score."""
    return (
        convolution("low", "data", 4, 3)
        + relu("relu", "low")
        + convolution("high", "low", 3, 3)
        + dense("score", "high", 3)
    )


def relu(name: str, blob: str) -> str:
    return layer(name, "ReLU", blob, blob)


def load(folder: Path, body: str, shape: tuple[int, ...] = (1, 3, 8, 8)) -> Network:
    path = folder / "network.prototxt"
    path.write_text(definition(body, shape))
    pycaffe().set_random_seed(1)
    return Network.load(path)


def batch_for(network: Network, count: int, seed: int = 0) -> np.ndarray:
    """Signed random numbers in the shape of the network's one input."""
    (shape,) = network.inputs.values()
    return np.random.default_rng(seed).normal(size=(count, *shape[1:])).astype(np.float32)
