"""Old network formats must mean the same after the upgrade, and faults in a prototxt must be located."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.network import Network
from rationale.network.prototxt import read_network
from rationale.network.pycaffe import messages
from tests import networks

V1 = """
name: "old"
input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv"
  blobs_lr: 1 blobs_lr: 2 weight_decay: 1 weight_decay: 0 param: "shared" param: ""
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "norm" type: LRN bottom: "conv" top: "norm" lrn_param { local_size: 3 } }
layers { name: "pool" type: POOLING bottom: "norm" top: "pool" pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layers { name: "drop" type: DROPOUT bottom: "pool" top: "pool" dropout_param { dropout_ratio: 0.3 } }
layers { name: "score" type: INNER_PRODUCT bottom: "pool" top: "score" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
layers { name: "prob" type: SOFTMAX bottom: "score" top: "prob" }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "score" bottom: "label" include { phase: TRAIN } }
"""


def test_a_v1_network_with_input_dim_is_upgraded_and_runs(tmp_path: Path) -> None:
    path = tmp_path / "old.prototxt"
    path.write_text(V1)
    upgraded = read_network(path)
    assert [layer.type for layer in upgraded.layer] == [
        "Input", "Convolution", "ReLU", "LRN", "Pooling", "Dropout", "InnerProduct", "Softmax", "SoftmaxWithLoss",
    ]  # fmt: skip
    convolution = upgraded.layer[1]
    assert [(spec.name, spec.lr_mult, spec.decay_mult) for spec in convolution.param] == [("shared", 1, 1), ("", 2, 0)]
    assert upgraded.layer[3].lrn_param.local_size == 3
    network = Network.load(path)
    (probabilities,) = network.forward(networks.batch_for(network, 2)).values()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


def test_every_v1_layer_type_becomes_a_type_that_caffe_knows() -> None:
    from rationale.network.prototxt import _v1_type
    from rationale.network.pycaffe import layer_types

    v1 = messages().V1LayerParameter
    names = [name for name in v1.LayerType.keys() if name != "NONE"]  # noqa: SIM118  protobuf's enum is no dict
    unknown = {name for name in names if _v1_type(v1(type=name)) not in layer_types()}
    # This build has neither OpenCV, which reads these two, nor anything else left out.
    assert unknown <= {"IMAGE_DATA", "WINDOW_DATA"}


def test_input_shape_fields_become_an_input_layer(tmp_path: Path) -> None:
    path = tmp_path / "shape.prototxt"
    path.write_text('input: "data" input_shape { dim: 5 dim: 1 dim: 4 dim: 4 }\n' + networks.dense("score", "data", 2))
    assert Network.load(path).inputs == {"data": (1, 1, 4, 4)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer {\n  nome: 1\n}", r"line 2:3"),
        ('input: "a" input: "b" input_dim: 1 input_dim: 1 input_dim: 4 input_dim: 4', "2 inputs but shapes for 1"),
        ("layers { layer { name: 'x' type: 'conv' } }", "V0 format"),
        ("layer { name: 'a' type: 'Input' } layers { name: 'b' type: RELU }", "mixes"),
    ],
)
def test_faults_are_located(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.prototxt"
    path.write_text(text)
    with pytest.raises(NetworkError, match=message):
        read_network(path)


def test_a_binary_file_is_no_prototxt(tmp_path: Path) -> None:
    path = tmp_path / "weights.prototxt"
    path.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(NetworkError, match="not a text file"):
        read_network(path)
