"""What geometry says a unit sees must be what it sees: rows and columns of the picture are changed, and units answer.

Weights are positive and the changes are increases by orders of magnitude, so that every unit that sees a changed pixel
changes by one of them, through maxima and normalisation too, and a unit that sees none keeps its value to the last bit.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.network import Network
from rationale.network.geometry import Box, Field, cut, receptive_fields
from tests.conftest import ROOT
from tests.networks import convolution, definition, dense, layer, load, relu

SHIPPED = sorted(path.parent.name for path in (ROOT / "prototxt").glob("*/classifier.prototxt"))

FACTORS = (1e6, 1e15)


def make_positive(network: Network) -> None:
    """Each unit becomes about the mean of what it sees."""
    random = np.random.default_rng(0)
    for node in network.graph.nodes:
        parameters = network.parameters(node)
        for weights in parameters[:1]:
            weights[...] = random.uniform(0.5, 1.5, weights.shape) / max(1, int(np.prod(weights.shape[1:])))
        for bias in parameters[1:]:
            bias[...] = 0
    (shape,) = network.inputs.values()
    network.forward(np.ones((1, *shape[1:]), np.float32))
    for head in network.graph.heads:  # so that a softmax is not at its end
        for weights in network.parameters(head.score)[:1]:
            weights /= network.data(head.score.tops[0]).max()


def assert_agrees(network: Network, cuts: int | None = None) -> int:
    """Compares every unit of every layer, with the picture changed up to some rows and columns from each side.

    Args:
        network: with one input.
        cuts: rows and columns to try from each side; all where None.

    Returns:
        How many units there were that saw some of a change, over all changes.
    """
    make_positive(network)
    fields = receptive_fields(network)
    ((name, shape),) = network.inputs.items()
    random = np.random.default_rng(1)
    picture = random.uniform(1, 2, (1, *shape[1:])).astype(np.float32)
    makers = {network.graph.blob(each): each for each in fields}  # not once more for what works in place
    blobs = {each: blob for blob, each in makers.items()}
    network.forward(picture)
    before = {each: network.data(blob).copy() for each, blob in blobs.items()}
    changed = 0
    for axis, size in ((2, shape[2]), (3, shape[3])):
        places = np.arange(size + 1)
        if cuts is not None:
            places = np.unique([1, size - 1, *random.choice(places, cuts, replace=False)])
        for place in places:
            for part in (slice(None, place), slice(place, None)):
                where = [slice(None)] * 4
                where[axis] = part
                wanted = {each: sees(fields[each], axis, *part.indices(size)[:2]) for each in blobs if each != name}
                found = {each: np.zeros_like(wanted[each]) for each in wanted}
                for factor in FACTORS:
                    altered = picture.copy()
                    altered[tuple(where)] *= factor
                    network.forward(altered)
                    for each in wanted:
                        now = network.data(blobs[each])
                        found[each] |= (now != before[each]).reshape(fields[each].shape)
                        assert not (found[each] & ~wanted[each]).any(), (each, axis, place, part)
                    if all(np.array_equal(found[each], wanted[each]) for each in wanted):
                        break
                for each in wanted:
                    assert np.array_equal(found[each], wanted[each]), (each, axis, place, part)
                    changed += int(found[each].sum())
    return changed


def sees(field: Field, axis: int, first: int, end: int) -> np.ndarray:
    """Which units see any pixel of some rows (axis 2) or columns (axis 3)."""
    rows, columns = field.rows[field.groups], field.columns[field.groups]
    spans = rows if axis == 2 else columns
    hit = (np.maximum(spans[..., 0], first) < np.minimum(spans[..., 1], end)) & (spans[..., 0] < spans[..., 1])
    other = columns if axis == 2 else rows
    somewhere = other[..., 0] < other[..., 1]
    return hit[:, :, None] & somewhere[:, None, :] if axis == 2 else somewhere[:, :, None] & hit[:, None, :]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_layer_of_every_shipped_network(name: str, tmp_path: Path) -> None:
    """Normalisation is weakened, for it makes less of what is much more, which a maximum above it then hides."""
    text = (ROOT / "prototxt" / name / "classifier.prototxt").read_text()
    (tmp_path / "network.prototxt").write_text(re.sub(r"alpha: [\d.e-]+", "alpha: 1e-30", text))
    network = Network.load(tmp_path / "network.prototxt")
    assert assert_agrees(network, {"mnist": None, "vgg16": 0}.get(name, 3)) > 1000


def pool(name: str, bottom: str, more: str) -> str:
    return layer(name, "Pooling", bottom, more=f"pooling_param {{ {more} }}")


def deconvolution(name: str, bottom: str, more: str) -> str:
    return layer(name, "Deconvolution", bottom, more=f"convolution_param {{ num_output: 4 {more} }}")


LOW = convolution("low", "data", 4, 3)
BODIES = {
    "stride leaves pixels out": convolution("a", "data", 2, 2, "stride: 3"),
    "dilation and padding": convolution("a", "data", 2, 3, "dilation: 3 pad: 4 stride: 2"),
    "one size for each axis": layer(
        "a",
        "Convolution",
        "data",
        more="convolution_param { num_output: 2 kernel_h: 1 kernel_w: 5 pad_h: 0 pad_w: 2 stride_h: 2 stride_w: 1 }",
    ),
    "repeated sizes": layer(
        "a",
        "Convolution",
        "data",
        more="convolution_param { num_output: 2 kernel_size: 3 kernel_size: 5 stride: 1 stride: 2 pad: 0 pad: 1 }",
    ),
    "padding alone is seen at the border": convolution("a", "data", 2, 1, "pad: 2")
    + pool("b", "a", "pool: AVE kernel_size: 3 stride: 2"),
    "groups": convolution("a", "data", 4, 1) + convolution("b", "a", 6, 3, "group: 2"),
    "pooling rounds up and cuts the last window": pool("a", "data", "pool: MAX kernel_size: 3 stride: 2")
    + pool("b", "a", "pool: MAX kernel_size: 2 stride: 2"),
    "pooling rounds down": pool("a", "data", "pool: MAX kernel_size: 2 stride: 3 round_mode: FLOOR"),
    "pooling with padding": pool("a", "data", "pool: AVE kernel_size: 3 stride: 2 pad: 1")
    + pool("b", "a", "pool: MAX kernel_h: 1 kernel_w: 3 stride_h: 1 stride_w: 2"),
    "global pooling": LOW + pool("a", "low", "pool: AVE global_pooling: true") + dense("b", "a", 2),
    "deconvolution": LOW + deconvolution("a", "low", "kernel_size: 4 stride: 2 pad: 1"),
    "deconvolution with holes": LOW + deconvolution("a", "low", "kernel_size: 2 stride: 3"),
    "grouped deconvolution": LOW + deconvolution("a", "low", "kernel_size: 3 stride: 2 group: 4"),
    "branches of different sizes": LOW
    + convolution("b", "data", 2, 5, "pad: 1")
    + layer("join", "Concat", "low b")
    + relu("relu", "join")
    + convolution("top", "join", 2, 2),
    "only some channels": LOW
    + convolution("b", "data", 4, 5, "pad: 1")
    + layer("join", "Concat", "low b")
    + layer("part", "Slice", "join", 'first" top: "second', "slice_param { axis: 1 slice_point: 3 }")
    + pool("c", "second", "pool: MAX kernel_size: 2 stride: 1"),
    "joins along rows": LOW
    + convolution("b", "data", 4, 3)
    + layer("join", "Concat", "low b", more="concat_param { axis: 2 }")
    + convolution("top", "join", 2, 3),
    "sums": LOW
    + convolution("b", "data", 4, 1)
    + layer("crop", "Crop", "b low", more="crop_param { axis: 2 offset: 2 offset: 0 }")
    + layer("sum", "Eltwise", "low crop"),
    "normalisation across channels": LOW
    + convolution("b", "data", 4, 5, "pad: 1")
    + layer("join", "Concat", "low b")
    + layer("norm", "LRN", "join", "join", "lrn_param { local_size: 3 alpha: 1e-3 beta: 0.3 }")
    + pool("c", "join", "pool: AVE kernel_size: 2 stride: 2"),
    "normalisation within a channel": LOW
    + layer("norm", "LRN", "low", more="lrn_param { local_size: 3 alpha: 1e-3 beta: 0.3 norm_region: WITHIN_CHANNEL }"),
    "a gate for each channel": LOW
    + pool("mean", "low", "pool: AVE global_pooling: true")
    + layer("gate", "Flatten", "mean")
    + layer("gated", "Scale", "low gate", more="scale_param { axis: 0 }"),
    "flattened": LOW + layer("flat", "Flatten", "low") + dense("b", "flat", 3),
    "reshaped": LOW + layer("flat", "Reshape", "low", more="reshape_param { shape { dim: 0 dim: -1 } }"),
    "tiled": LOW + layer("tiled", "Tile", "low", more="tile_param { axis: 3 tiles: 2 }"),
    "scores at every place": LOW + layer("a", "Softmax", "low"),
    "a type that is not known here": LOW + layer("a", "Reduction", "low", more="reduction_param { axis: 1 }"),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("shape", [(1, 4, 11, 14), (1, 4, 12, 9)], ids=["11 × 14", "12 × 9"])
def test_every_way_of_reading(tmp_path: Path, name: str, shape: tuple[int, ...]) -> None:
    assert assert_agrees(load(tmp_path, BODIES[name], shape)) > 0


def test_crops_of_a_channel_have_one_size_and_hold_what_is_seen() -> None:
    network = Network.load(ROOT / "prototxt" / "flight" / "classifier.prototxt")
    fields = receptive_fields(network)
    for name in ("conv1", "fire4/concat", "fire9/concat"):
        field = fields[name]
        channels, height, width = field.shape
        for channel in (0, channels - 1):
            sizes = set()
            for row in range(height):
                for column in range(width):
                    crop, box = field.crop(channel, row, column), field.box(channel, row, column)
                    assert crop is not None
                    assert box is not None
                    assert np.all([crop.top <= box.top, box.bottom <= crop.bottom])
                    assert np.all([crop.left <= box.left, box.right <= crop.right])
                    sizes.add(crop.size)
            assert sizes == {field.size(channel)}
    corner = fields["fire4/concat"].crop(255, 0, 0)
    assert corner is not None
    assert corner.top < 0
    assert corner.left < 0


def test_a_crop_is_filled_beyond_the_picture() -> None:
    picture = np.arange(12, dtype=np.uint8).reshape(3, 4)
    found = cut(picture, Box(-1, 2, 2, 6), filling=9)
    assert found.tolist() == [[9, 9, 9, 9], [2, 3, 9, 9], [6, 7, 9, 9]]
    assert (cut(picture, Box(-5, -5, -2, -2), 7) == 7).all()


def test_units_that_are_not_there_and_what_sees_nothing(tmp_path: Path) -> None:
    network = load(tmp_path, convolution("a", "data", 2, 1, "pad: 1"))
    field = receptive_fields(network)["a"]
    assert field.box(0, 0, 0) is None
    assert field.crop(0, 0, 3) is None
    assert field.box(1, 1, 1) == Box(0, 0, 1, 1)
    for unit in ((2, 0, 0), (0, 10, 0), (0, 0, -1)):
        with pytest.raises(NetworkError, match="there is no unit"):
            field.box(*unit)


def test_the_input_must_be_named_where_there_are_two(tmp_path: Path) -> None:
    body = layer("other", "Input", more="input_param { shape { dim: 1 dim: 2 } }") + LOW + dense("b", "other", 2)
    (tmp_path / "two.prototxt").write_text(definition(body))
    network = Network.load(tmp_path / "two.prototxt")
    with pytest.raises(NetworkError, match="name one"):
        receptive_fields(network)
    with pytest.raises(NetworkError, match="not 4"):
        receptive_fields(network, "other")
    assert set(receptive_fields(network, "data")) == {"data", "low"}
