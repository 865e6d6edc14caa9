"""Files as people have them must load and mean what their authors meant; what cannot be right is refused by name."""

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.lrp import propagate
from rationale.network import Network, Solver
from rationale.network.dialects import any_network
from rationale.network.prototxt import input_shapes
from rationale.network.pycaffe import pycaffe
from tests import networks

PLAIN = networks.definition(networks.convolution("conv", "data", 4, 3) + networks.dense("score", "conv", 2))


def loaded(folder: Path, content: str | bytes, **how: object) -> Network:
    path = folder / "network.prototxt"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Network.load(path, **how)


@pytest.mark.parametrize(
    ("content", "understood"),
    [
        (b"\xef\xbb\xbf" + PLAIN.encode(), "byte-order mark"),
        (("# 第一层\n" + PLAIN).encode("gbk"), "read as GBK"),
        (("# entrée\n" + PLAIN).encode("latin-1"), "read as Latin-1"),
        (PLAIN.encode("utf-16"), "read as UTF-16"),
        (PLAIN.encode() + b"\0", "NUL"),
        (PLAIN.replace("\n", "\r\n").encode(), None),
    ],
    ids=["byte-order mark", "GBK", "Latin-1", "UTF-16", "NUL", "CRLF"],
)
def test_a_file_in_another_encoding_is_the_same_network(content: bytes, understood: str | None, tmp_path: Path) -> None:
    network = loaded(tmp_path, content)
    assert network.graph.layer_names == ["data", "conv", "score"]
    assert len(network.understood) == (understood is not None)
    assert understood is None or understood in network.understood[0]


def pooled(more: str) -> str:
    pool = f"pooling_param {{ pool: MAX kernel_size: 3 stride: 2 {more} }}"
    return networks.definition(
        networks.layer("pool", "Pooling", "data", more=pool) + networks.dense("score", "pool", 2)
    )


@pytest.mark.parametrize(("mode", "size"), [("false", 3), ("true", 4), (None, 4)])
def test_ceil_mode_rounds_the_size_as_pytorch_does(mode: str | None, size: int, tmp_path: Path) -> None:
    """Eight pixels, windows of three at every second: 3.5 windows."""
    network = loaded(tmp_path, pooled(f"ceil_mode: {mode}" if mode else ""))
    assert network.shape("pool")[2:] == (size, size)
    assert any("round_mode: FLOOR (pool)" in line for line in network.understood) == (mode == "false")


def test_two_ways_of_rounding_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="layer 'pool' has a ceil_mode and a round_mode"):
        loaded(tmp_path, pooled("ceil_mode: true round_mode: FLOOR"))


@pytest.mark.parametrize("engine", ["CUDNN", "MKL2017", "CAFFE"])
def test_an_engine_that_is_not_here_is_no_hindrance(engine: str, tmp_path: Path) -> None:
    network = loaded(tmp_path, pooled(f"engine: {engine}").replace("layer {", 'layer { engine: "MKLDNN"', 1))
    assert network.shape("score") == (1, 2)
    assert any(line.startswith("engine") and engine in line for line in network.understood) == (engine != "CAFFE")


def test_an_input_without_a_shape_is_the_input_layer_of_its_name(tmp_path: Path) -> None:
    assert loaded(tmp_path, 'input: "data"\n' + PLAIN).inputs == {"data": (1, 3, 8, 8)}
    with pytest.raises(NetworkError, match="1 inputs but shapes for 0"):
        loaded(tmp_path, 'input: "other"\n' + PLAIN)


ALL_IN_ONE = (
    'layer { name: "fed" type: "Data" top: "data" include { stage: "train" } }\n'
    + 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } '
    + 'include { stage: "deploy" } }\n'
    + networks.dense("score", "data", 2)
    + networks.layer("prob", "Softmax", "score", more="include { min_level: 1 max_level: 2 }")
    + networks.layer("sigmoid", "Sigmoid", "score", more='include { stage: "deploy" not_stage: "plain" }')
)


@pytest.mark.parametrize(
    ("state", "stages", "layers"),
    [
        ('state { stage: "deploy" }', [], ["data", "score", "sigmoid"]),
        ("", ["deploy"], ["data", "score", "sigmoid"]),
        ("state { level: 1 }", ["deploy", "plain"], ["data", "score", "prob"]),
        ('state { level: 3 stage: "deploy" }', ["plain"], ["data", "score"]),
    ],
)
def test_stages_and_levels_say_which_layers_are_built(
    state: str, stages: list[str], layers: list[str], tmp_path: Path
) -> None:
    network = loaded(tmp_path, state + ALL_IN_ONE, stages=stages)
    assert network.graph.layer_names == layers
    assert input_shapes(tmp_path / "network.prototxt", stages) == [(4, 3, 8, 8)]


def test_a_stage_that_is_wanted_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match="give --stage deploy"):
        loaded(tmp_path, ALL_IN_ONE)


@pytest.mark.parametrize("name", ['name: "relu" ', ""], ids=["of one name", "without names"])
def test_layers_without_weights_need_no_names_of_their_own(name: str, tmp_path: Path) -> None:
    relu = 'layer {{ {} type: "ReLU" bottom: "{}" top: "{}" }}\n'
    body = (
        networks.convolution("low", "data", 4, 3)
        + relu.format(name, "low", "low")
        + networks.convolution("high", "low", 4, 3)
        + relu.format(name, "high", "high")
        + networks.dense("score", "high", 3)
    )
    path = tmp_path / "network.prototxt"
    path.write_text(networks.definition(body))
    caffe = pycaffe()
    caffe.set_random_seed(3)
    plain = caffe.Net(str(path), caffe.TEST)
    plain.save(str(tmp_path / "weights.caffemodel"))
    network = Network.load(path, tmp_path / "weights.caffemodel")
    batch = networks.batch_for(network, 1)
    plain.blobs["data"].data[...] = batch
    np.testing.assert_array_equal(network.forward(batch)["score"], plain.forward()["score"])
    assert len(set(network.graph.layer_names)) == len(network.graph.layer_names) == 6


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8"])
def test_weights_kept_as_raw_data_are_read(kind: str, tmp_path: Path) -> None:
    network = loaded(tmp_path, PLAIN)
    network.net.save(str(tmp_path / "plain.caffemodel"))
    other = any_network()
    other.ParseFromString((tmp_path / "plain.caffemodel").read_bytes())
    for layer in other.layer:
        for blob in layer.blobs:
            blob.raw_data = np.array(blob.data, kind).tobytes()
            blob.raw_data_type = {"<f8": 0, "<f4": 1, "<f2": 2}[kind]
            blob.ClearField("data")
    (tmp_path / "raw.caffemodel").write_bytes(other.SerializeToString())
    again = loaded(tmp_path, PLAIN, weights=tmp_path / "raw.caffemodel")
    for name in ("conv", "score"):
        for found, expected in zip(*(each.parameters(each.graph.node(name)) for each in (again, network)), strict=True):
            np.testing.assert_array_equal(found, expected.astype(kind).astype(np.float32))


def test_what_was_understood_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rationale")
    loaded(tmp_path, pooled("ceil_mode: false"))
    assert f"{tmp_path}/network.prototxt: ceil_mode: false is round_mode: FLOOR (pool)" in caplog.text


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            'layer { type: "ROIPooling" roi_pooling_param { x: 1 } name: "roi" }',
            r"layer 'roi' \(ROIPooling\), line 6:28:",
        ),
        ('layer {\n name: "cat" type: "Scale"\n scale_param { odd: 1 } }', r"layer 'cat' \(Scale\), line 8:16: .*odd"),
        ('layer { name: "i" type: "Interp" bottom: "data" top: "i" }', r"layer 'i' has type 'Interp'"),
        (
            "layer { name: 'off' type: 'Crop' bottom: 'conv' bottom: 'data' top: 'off' }",
            r"layer 'off' \(Crop\): Caffe says: .*out-of-bounds",
        ),
        ("layer { name: 'w' type: 'HDF5Output' bottom: 'data' }", r"layer 'w' \(HDF5Output\) writes"),
        ("layer { name: 'r' type: 'ImageData' top: 'x' }", r"layer 'r' \(ImageData\) reads its own data"),
        (
            "layer { name: 'l' type: 'InfogainLoss' bottom: 'data' infogain_loss_param { source: 'm' } }",
            r"layer 'l' \(InfogainLoss\) reads the file 'm'",
        ),
    ],
)
def test_every_refusal_names_the_layer_and_the_reason(layer: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=message):
        loaded(tmp_path, PLAIN + "\n" + layer)


def output_layer(path: Path, phase: str) -> str:
    return (
        f'layer {{ name: "out" type: "HDF5Output" bottom: "score" bottom: "label" include {{ phase: {phase} }} '
        f'hdf5_output_param {{ file_name: "{path}" }} }}\n'
    )


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_loading_leaves_a_users_file_as_it_is(phase: str, tmp_path: Path) -> None:
    """Caffe's HDF5Output empties its file when the network is built."""
    victim = tmp_path / "results.h5"
    with h5py.File(victim, "w") as file:
        file["precious"] = np.arange(5)
    before = victim.read_bytes()
    body = (
        'layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 1 } } }\n'
        + networks.dense("score", "data", 2)
        + output_layer(victim, phase)
        + 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" }'
    )
    (tmp_path / "net.prototxt").write_text(networks.definition(body))
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    with pytest.raises(NetworkError, match=r"layer 'out' \(HDF5Output\) writes"):
        Solver.load(tmp_path / "solver.prototxt", tmp_path)
    if phase == "TEST":
        with pytest.raises(NetworkError, match=r"layer 'out' \(HDF5Output\) writes"):
            Network.load(tmp_path / "net.prototxt")
    assert victim.read_bytes() == before


@pytest.mark.parametrize("type_", ["ReLU", "PReLU", "BatchNorm"])
def test_an_in_place_layer_may_bear_the_inputs_name(type_: str, tmp_path: Path) -> None:
    """The picture went to the layer's blob instead: the same scores for x, 5x and 0."""
    body = networks.layer("data", type_, "data", "data") + networks.dense("score", "data", 3)
    text = networks.definition(body).replace('name: "data" type: "Input"', 'name: "picture" type: "Input"')
    network = loaded(tmp_path, text)
    caffe = pycaffe()
    network.net.save(str(tmp_path / "weights.caffemodel"))
    plain = caffe.Net(str(tmp_path / "network.prototxt"), caffe.TEST, weights=str(tmp_path / "weights.caffemodel"))
    batch = networks.batch_for(network, 1)
    found = []
    for factor in (1, 5, 0):
        plain.blobs["data"].data[...] = factor * batch
        expected = plain.forward()["score"].copy()
        found.append(network.forward(factor * batch)["score"])
        np.testing.assert_allclose(found[-1], expected, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found[0], found[1])
    network.forward(batch)
    relevance = propagate(network, batch, 1, composite="lrp-0")
    assert relevance["data"].shape == batch.shape
    slope = network.backward("score", unit=1)["data"]
    if type_ == "ReLU":  # without anything that moves zero, LRP-0 is gradient × input (Shrikumar et al. 2016)
        np.testing.assert_allclose(relevance["data"], batch * slope, rtol=1e-3, atol=1e-4)
