"""A network whose units are known, because they were put there, and pictures for it.

`parts` sees 3 × 3 pixels: unit 0 fires for a vertical edge, unit 1 never, unit 2 for the upper left corner of something
bright, unit 3 for a horizontal edge. `score` answers "vertical" by unit 0, "corner" by unit 2, "horizontal" by unit 3.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from rationale.datasets import Split
from rationale.datasets.dataset import OnDemand
from rationale.model import Model
from rationale.network.pycaffe import pycaffe

SIDE = 14
CLASSES = ("corner", "horizontal", "vertical")
EDGE, DEAD, CORNER, LYING = range(4)

DEFINITION = f"""
name: "planted"
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 1 dim: {SIDE} dim: {SIDE} }} }} }}
layer {{ name: "parts" type: "Convolution" bottom: "data" top: "parts"
  convolution_param {{ num_output: 4 kernel_size: 3 }} }}
layer {{ name: "relu" type: "ReLU" bottom: "parts" top: "parts" }}
layer {{ name: "most" type: "Pooling" bottom: "parts" top: "most"
  pooling_param {{ pool: MAX global_pooling: true }} }}
layer {{ name: "score" type: "InnerProduct" bottom: "most" top: "score" inner_product_param {{ num_output: 3 }} }}
layer {{ name: "prob" type: "Softmax" bottom: "score" top: "prob" }}
"""

TOML = """
title = "Planted"
dataset = "{dataset}"
[files]
classifier = "classifier.prototxt"
weights = "classifier.caffemodel"
[input]
colour = "grey"
scale = 0.00392156862745098
[output]
labels = ["corner", "horizontal", "vertical"]
target_layer = "score"
[lrp]
composite = "epsilon-plus"
"""


def picture(kind: str, row: int, column: int, brightness: int = 255) -> np.ndarray:
    """Bright from a column on, from a row on, or both, on a dark ground."""
    found = np.zeros((SIDE, SIDE), np.uint8)
    rows = slice(row if kind != "vertical" else 0, None)
    columns = slice(column if kind != "horizontal" else 0, None)
    found[rows, columns] = brightness
    return found


def planted_model(folder: Path, dataset: str = "") -> Model:
    """The model in a directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "classifier.prototxt").write_text(DEFINITION)
    (folder / "model.toml").write_text(TOML.replace("{dataset}", dataset or str(folder / "pictures")))
    net = pycaffe().Net(str(folder / "classifier.prototxt"), pycaffe().TEST)
    weights, bias = (blob.data for blob in net.params["parts"])
    weights[...], bias[...] = 0, [-2, -1, -3, -2]
    weights[EDGE, 0] = [[-1, 0, 1]] * 3
    weights[CORNER, 0] = [[-1, -1, -1], [-1, 1, 1], [-1, 1, 1]]
    weights[LYING, 0] = weights[EDGE, 0].T
    weights, bias = (blob.data for blob in net.params["score"])
    weights[...], bias[...] = 0, 0
    weights[0, CORNER], weights[1, LYING], weights[2, EDGE] = 10, 5, 5
    net.save(str(folder / "classifier.caffemodel"))
    return Model.load(folder)


def places(count: int = 8) -> list[tuple[str, int, int, int]]:
    """Kind, row, column and brightness of pictures, `count` of each kind."""
    random = np.random.default_rng(0)
    return [
        (kind, *random.integers(3, SIDE - 3, 2).tolist(), int(brightness))
        for kind in CLASSES
        for brightness in np.linspace(200, 255, count)
    ]


def planted_split(count: int = 8) -> Split:
    """Pictures of each class, at different places and of different brightness."""
    made = places(count)
    ids = [f"{kind}/{number}" for number, (kind, *_) in enumerate(made)]
    labels = np.array([CLASSES.index(kind) for kind, *_ in made])
    attributes = [
        {"shape": kind, "brightness": "high" if made[at][3] > 230 else "low"} for at, (kind, *_) in enumerate(made)
    ]
    images = OnDemand(made, lambda each: picture(*each))
    return Split("train", ids, images, labels, attributes=attributes)


def write_pictures(folder: Path, count: int = 8) -> None:
    """The pictures of `planted_split` as files in class directories under train, and some under val and test."""
    for number, (kind, *rest) in enumerate(places(count)):
        for part in ("train", "val", "test"):
            place = folder / part / kind
            place.mkdir(parents=True, exist_ok=True)
            if part == "train" or number % 4 == 0:
                Image.fromarray(picture(kind, *rest)).save(place / f"{number:02}.png")
