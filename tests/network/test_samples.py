"""What a network says of one picture must not depend on the others of its batch."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.lrp import propagate
from rationale.network import Network
from tests import networks
from tests.networks import batch_for, convolution, dense, layer

NORM = "batch_norm_param { use_global_stats: false }"


def reshaped(*dims: int) -> str:
    shape = "".join(f" dim: {each}" for each in dims)
    rows = layer("rows", "Reshape", "conv", more=f"reshape_param {{ shape {{ {shape} }} }}")
    return convolution("conv", "data", 4, 3) + rows + dense("score", "rows", 3)


@pytest.mark.parametrize("dims", [(10, -1), (10, 144), (-1, 144), (0, -1)])
@pytest.mark.parametrize("count", [1, 2, 10])
def test_a_batch_that_the_file_fixes_is_free(dims: tuple[int, int], count: int, tmp_path: Path) -> None:
    network = networks.load(tmp_path, reshaped(*dims), (10, 3, 8, 8))
    batch = batch_for(network, count)
    whole = network.forward(batch)["score"]
    assert whole.shape == (count, 3)
    for at in range(count):
        np.testing.assert_allclose(
            network.forward(batch[at : at + 1])["score"], whole[at : at + 1], rtol=1e-5, atol=1e-5
        )
    assert propagate(network, batch)["data"].shape == batch.shape


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        (reshaped(1, -1), "rows", "makes 1 of the 10 samples"),
        (
            layer("apart", "Reshape", "data", more="reshape_param { shape { dim: -1 dim: 64 } }"),
            "apart",
            r"makes \(6, 64\) of two samples",
        ),
        (reshaped(-1, 72), "rows", r"makes \(4, 72\) of two samples"),
        (layer("flat", "Flatten", "data", more="flatten_param { axis: 0 }"), "flat", "takes samples together"),
        (layer("all", "Softmax", "data", more="softmax_param { axis: 0 }"), "all", "works along the samples"),
        (layer("all", "Softmax", "data", more="softmax_param { axis: -4 }"), "all", "works along the samples"),
        (layer("cat", "Concat", "data data", more="concat_param { axis: 0 }"), "cat", "joins along the samples"),
        (layer("cut", "Slice", "data", more="slice_param { slice_dim: 0 }"), "cut", "takes samples apart"),
        (dense("score", "data", 3, "axis: 0"), "score", "works along the samples"),
        (layer("sum", "Reduction", "data"), "sum", "works along the samples"),
        (layer("own", "Scale", "data", more="scale_param { axis: 0 }"), "own", "has a weight for each sample"),
        (layer("some", "Filter", "data data"), "some", "leaves samples out"),
    ],
)
def test_a_layer_that_mixes_samples_is_refused_by_name(body: str, name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=rf"layer '{name}' \(\w+\) {reason}"):
        networks.load(tmp_path, body, (10, 3, 8, 8))


def test_losses_beside_the_scores_are_let_be(tmp_path: Path) -> None:
    body = layer("label", "Input", top="label", more="input_param { shape { dim: 1 } }") + dense("score", "data", 3)
    body += layer("prob", "Softmax", "score") + layer("loss", "SoftmaxWithLoss", "score label")
    assert networks.load(tmp_path, body).graph.score_node().name == "score"


def with_batch_norm() -> str:
    return (
        convolution("conv", "data", 4, 3)
        + layer("norm", "BatchNorm", "conv", "conv", NORM)
        + networks.relu("relu", "conv")
        + dense("score", "conv", 3)
    )


def test_statistics_of_the_batch_give_way_to_stored_ones(tmp_path: Path) -> None:
    """With the batch's own, a picture's score and heatmap depended on its neighbours."""
    stored = with_batch_norm().replace(NORM, "")
    plain = networks.load(tmp_path, stored)
    (tmp_path / "net.prototxt").write_text(networks.definition(stored))
    unfolded = Network.load(tmp_path / "net.prototxt", fold=False)
    mean, variance, count = unfolded.parameters(unfolded.graph.node("norm"))
    mean[...], variance[...], count[...] = 0.3, 2.0, 1.0
    unfolded.net.save(str(tmp_path / "weights.caffemodel"))
    (tmp_path / "network.prototxt").write_text(networks.definition(with_batch_norm()))
    network = Network.load(tmp_path / "network.prototxt", tmp_path / "weights.caffemodel")
    assert network.understood == ("layer 'norm' uses its stored mean and variance, not those of each batch",)
    batch = batch_for(plain, 4)
    np.testing.assert_allclose(network.forward(batch)["score"], unfolded.forward(batch)["score"], rtol=1e-4, atol=1e-5)
    alone, together = (propagate(network, each, 1) for each in (batch[:1], batch))
    np.testing.assert_allclose(alone.scores, together.scores[:1], rtol=1e-5)
    np.testing.assert_allclose(alone["data"], together["data"][:1], rtol=1e-4, atol=1e-6)


def test_statistics_of_the_batch_without_stored_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NetworkError, match=r"layer 'norm' \(BatchNorm\) takes mean and variance of each batch"):
        networks.load(tmp_path, with_batch_norm())
