"""Receptive fields: which pixels of the input a unit sees, exactly, from the layers of any network.

A field is followed position by position rather than by one stride and size for the whole layer, so that whatever clips
it (padding, the last window of Caffe's rounded-up pooling, crops) is in the result. What the weights make of it is not:
a weight of zero still sees.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.network.graph import Node
from rationale.network.kinds import kind
from rationale.network.network import Network
from rationale.network.prototxt import LayerParameter

Spans = NDArray[np.int32]  # (…, 2): first pixel and the one after the last; (_FAR, −_FAR) where there is none
_FAR = 1 << 28


@dataclass(frozen=True)
class Box:
    """A rectangle of pixels, from `top` and `left` up to but without `bottom` and `right`."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True, eq=False)
class Field:
    """What the units of one layer see of an input.

    Channels that see alike are one group: those of one branch of a Concat, or all of a convolution.

    Attributes:
        groups: number of each channel's group, (C,).
        rows: for each group, what a unit in each row sees vertically, (G, H, 2), pixels of the input.
        columns: the same for columns, (G, W, 2).
        extent: height and width of the input.
    """

    groups: NDArray[np.int32]
    rows: Spans
    columns: Spans
    extent: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the layer."""
        return len(self.groups), self.rows.shape[1], self.columns.shape[1]

    def box(self, channel: int, row: int, column: int) -> Box | None:
        """What a unit sees; None where that is padding alone, or nothing of this input."""
        (top, bottom), (left, right) = self._spans(channel, row, column)
        return Box(top, left, bottom, right) if top < bottom and left < right else None

    def size(self, channel: int) -> tuple[int, int]:
        """Height and width of what the channel's units see where no border cuts it; 0 where they see nothing."""
        group = self.groups[channel]
        return _largest(self.rows[group]), _largest(self.columns[group])

    def crop(self, channel: int, row: int, column: int) -> Box | None:
        """The box with what the border of the input cut off, so that all of a channel's crops are of one size.

        It may reach beyond the input; `cut` fills what is there.
        """
        if self.box(channel, row, column) is None:
            return None
        vertical, horizontal = self._spans(channel, row, column)
        height, width = self.size(channel)
        top, bottom = _restored(vertical, height, self.extent[0])
        left, right = _restored(horizontal, width, self.extent[1])
        return Box(top, left, bottom, right)

    def _spans(self, channel: int, row: int, column: int) -> tuple[tuple[int, int], tuple[int, int]]:
        channels, height, width = self.shape
        if not (0 <= channel < channels and 0 <= row < height and 0 <= column < width):
            raise NetworkError(
                f"there is no unit ({channel}, {row}, {column}); the layer has {channels} × {height} × {width} "
                "(channels × height × width)"
            )
        group = self.groups[channel]
        vertical, horizontal = self.rows[group, row].tolist(), self.columns[group, column].tolist()
        return (vertical[0], vertical[1]), (horizontal[0], horizontal[1])


def cut(picture: NDArray[Any], box: Box, filling: Any = 0) -> NDArray[Any]:
    """The part of a picture (H, W) or (H, W, C) in a box, filled where the box reaches beyond it."""
    height, width = picture.shape[:2]
    found = np.empty((*box.size, *picture.shape[2:]), picture.dtype)
    found[...] = filling
    top, left, bottom, right = max(box.top, 0), max(box.left, 0), min(box.bottom, height), min(box.right, width)
    if top < bottom and left < right:
        inside = (slice(top - box.top, bottom - box.top), slice(left - box.left, right - box.left))
        found[inside] = picture[top:bottom, left:right]
    return found


def receptive_fields(network: Network, name: str | None = None) -> dict[str, Field]:
    """The field of every layer that depends on an input, by layer name, for the shapes that stand now.

    Layer types that are not known here are taken to see all of what they read.

    Args:
        network: any.
        name: of the input, N × C × H × W; the one there is where None.

    Raises:
        NetworkError: no such input, or one that is no picture.
    """
    inputs = network.inputs
    if name is None and len(inputs) != 1:
        raise NetworkError(f"{network.name}: has the inputs {', '.join(inputs)}; name one")
    chosen = name or next(iter(inputs))
    start = network.graph.input_blob(chosen)
    if len(inputs[chosen]) != 4:
        raise NetworkError(f"input {chosen!r} has {len(inputs[chosen])} axes, not 4: it has no receptive fields")
    _, channels, height, width = inputs[chosen]
    extent = (height, width)
    known: dict[int, Field] = {}
    for node in network.graph.nodes:
        shapes = [_sizes(network.data(blob).shape) for blob in node.tops]
        if node.type == "Input":
            for blob, shape in zip(node.tops, shapes, strict=True):
                known[blob] = _own(channels, extent) if blob == start else _blind(shape, extent)
            continue
        below = [
            known[blob] if blob in known else _blind(_sizes(network.data(blob).shape), extent) for blob in node.bottoms
        ]
        above = _above(node, below, shapes)
        known.update(zip(node.tops, above, strict=True))
    return {
        node.name: known[node.tops[0]]
        for node in network.graph.nodes
        if node.parameter is not None and node.tops and _sees(known[node.tops[0]])
    }


def _above(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field]:
    """Fields of what a layer puts out."""
    handler = _HANDLERS.get(node.type) or (_each_for_itself if kind(node.type).elementwise else None)
    found = handler(node, below, shapes) if handler is not None and below else None
    if found is None or any(field.shape != shape for field, shape in zip(found, shapes, strict=True)):
        return [_all_of(below, shape) for shape in shapes]
    return found


# ---- spans -----------------------------------------------------------------------------------------------------------


def _sizes(shape: Sequence[int]) -> tuple[int, int, int]:
    """Channels, height and width of a blob; what has other axes than N, C, H, W counts as values without a place."""
    if len(shape) == 4:
        return shape[1], shape[2], shape[3]
    return (int(np.prod(shape[1:])) if len(shape) > 1 else 1), 1, 1


def _own(channels: int, extent: tuple[int, int]) -> Field:
    """Of the input itself: each pixel sees itself."""
    rows, columns = (np.stack([np.arange(size), np.arange(size) + 1], axis=1)[None] for size in extent)
    return Field(np.zeros(channels, np.int32), rows.astype(np.int32), columns.astype(np.int32), extent)


def _blind(shape: tuple[int, int, int], extent: tuple[int, int]) -> Field:
    """Of what does not depend on the input."""
    channels, height, width = shape
    return Field(np.zeros(channels, np.int32), _nothing(1, height), _nothing(1, width), extent)


def _nothing(groups: int, size: int) -> Spans:
    return np.broadcast_to(np.array([_FAR, -_FAR], np.int32), (groups, size, 2)).copy()


def _sees(field: Field) -> bool:
    return bool(
        (field.rows[..., 0] < field.rows[..., 1]).any() and (field.columns[..., 0] < field.columns[..., 1]).any()
    )


def _hull(spans: Spans, axis: int) -> Spans:
    """The least span that holds all along an axis."""
    return np.stack([spans[..., 0].min(axis=axis), spans[..., 1].max(axis=axis)], axis=-1)


def _largest(spans: Spans) -> int:
    return max(0, int((spans[:, 1] - spans[:, 0]).max()))


def _restored(span: tuple[int, int], size: int, extent: int) -> tuple[int, int]:
    """A span at its full size: what is missing lies beyond the nearer border of the input."""
    first, end = span
    missing = size - (end - first)
    if first == extent - end:
        return first - missing // 2, end + missing - missing // 2
    return (first - missing, end) if first < extent - end else (first, end + missing)


def _without_empty(field: Field) -> Field:
    """Groups that see nothing on one axis, anywhere, see nothing on the other either."""
    blind = [(spans[..., 0] >= spans[..., 1]).all(axis=1) for spans in (field.rows, field.columns)]
    nowhere = blind[0] | blind[1]
    if not nowhere.any():
        return field
    rows, columns = field.rows.copy(), field.columns.copy()
    rows[nowhere], columns[nowhere] = (_FAR, -_FAR), (_FAR, -_FAR)
    return Field(field.groups, rows, columns, field.extent)


def _merged(field: Field, members: Sequence[NDArray[Any]], groups: NDArray[Any]) -> Field:
    """Each new group sees what any of its member channels sees.

    Args:
        field: of the layer below.
        members: channels of each new group.
        groups: of the new channels.
    """
    field = _without_empty(field)
    old = [np.unique(field.groups[channels]) for channels in members]
    rows = np.stack([_hull(field.rows[each], 0) for each in old])
    columns = np.stack([_hull(field.columns[each], 0) for each in old])
    return _compact(Field(groups.astype(np.int32), rows, columns, field.extent))


def _compact(field: Field) -> Field:
    """The same with one group for all that see alike."""
    if len(field.rows) == 1:
        return field
    flat = np.concatenate([field.rows.reshape(len(field.rows), -1), field.columns.reshape(len(field.rows), -1)], axis=1)
    _, first, inverse = np.unique(flat, axis=0, return_index=True, return_inverse=True)
    groups = inverse.reshape(-1)[field.groups].astype(np.int32)
    return Field(groups, field.rows[first], field.columns[first], field.extent)


def _all_channels(field: Field, count: int) -> Field:
    """`count` channels, each of which sees what any channel below sees at its place."""
    return _merged(field, [np.arange(len(field.groups))], np.zeros(count, np.int32))


def _everywhere(field: Field) -> Field:
    """Each channel sees all its places."""
    field = _without_empty(field)
    return Field(field.groups, _hull(field.rows, 1)[:, None], _hull(field.columns, 1)[:, None], field.extent)


def _all_of(below: Sequence[Field], shape: tuple[int, int, int]) -> Field:
    """Every unit sees whatever any unit below sees."""
    channels, height, width = shape
    extent = below[0].extent if below else (0, 0)
    if not below:
        return _blind(shape, extent)
    whole = [_all_channels(_everywhere(field), 1) for field in below]
    rows = _hull(np.concatenate([field.rows for field in whole]), 0)[None]
    columns = _hull(np.concatenate([field.columns for field in whole]), 0)[None]
    return Field(np.zeros(channels, np.int32), rows.repeat(height, axis=1), columns.repeat(width, axis=1), extent)


@dataclass(frozen=True)
class _Window:
    """A window that slides along one axis: which positions below each position above reads."""

    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1
    transposed: bool = False

    def reads(self, above: int, below: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Positions (above, kernel), and whether they are there."""
        taps = np.arange(self.kernel) * self.dilation
        places = np.arange(above)[:, None]
        if self.transposed:
            scaled = places + self.pad - taps
            found, whole = scaled // self.stride, scaled % self.stride == 0
        else:
            found = places * self.stride - self.pad + taps
            whole = np.ones(found.shape, bool)
        inside = whole & (found >= 0) & (found < below)
        return np.where(inside, found, 0), inside

    def slide(self, spans: Spans, above: int) -> Spans:
        """(G, below, 2) → (G, above, 2)."""
        found, inside = self.reads(above, spans.shape[1])
        read = np.where(inside[None, ..., None], spans[:, found], np.array([_FAR, -_FAR], np.int32))
        return _hull(read, 2)


def _slid(field: Field, windows: tuple[_Window, _Window], shape: tuple[int, int, int]) -> Field:
    rows, columns = windows[0].slide(field.rows, shape[1]), windows[1].slide(field.columns, shape[2])
    return Field(field.groups, rows, columns, field.extent)


# ---- layer types -----------------------------------------------------------------------------------------------------

_Handler = Callable[[Node, Sequence[Field], Sequence[tuple[int, int, int]]], list[Field] | None]


def _definition(node: Node) -> LayerParameter:
    """Splits, which Caffe puts in by itself, have none, and are handed on."""
    return node.parameter


def _each_for_itself(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    """Each value sees what the value at its place sees, and what a second input gives there, spread if need be."""
    first = below[0]
    spread = [_spread(each, first.shape) for each in below[1:]]
    if any(each is None for each in spread):
        return None
    return [_union([first, *(each for each in spread if each is not None)])]


def _spread(field: Field, shape: tuple[int, int, int]) -> Field | None:
    """A field for every place, where it has one value for each channel or for all of them."""
    channels, height, width = field.shape
    if field.shape == shape:
        return field
    if (height, width) != (1, 1) or channels not in (1, shape[0]):
        return None
    groups = field.groups if channels == shape[0] else field.groups.repeat(shape[0])
    return Field(groups, field.rows.repeat(shape[1], axis=1), field.columns.repeat(shape[2], axis=1), field.extent)


def _union(fields: Sequence[Field]) -> Field:
    """What any of them sees, channel by channel and place by place."""
    aligned = _aligned([_without_empty(each) for each in fields])
    rows, columns = (_hull(np.stack([getattr(each, axis) for each in aligned]), 0) for axis in ("rows", "columns"))
    return _compact(Field(aligned[0].groups, rows, columns, fields[0].extent))


def _convolution(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    parameter = _definition(node).convolution_param
    if parameter.axis not in (1, -3):
        return None
    transposed = node.type == "Deconvolution"
    windows = tuple(
        _Window(
            _of_axis(parameter, "kernel_size", "kernel", axis, 1),
            _of_axis(parameter, "stride", "stride", axis, 1),
            _of_axis(parameter, "pad", "pad", axis, 0),
            int(parameter.dilation[min(axis, len(parameter.dilation) - 1)]) if parameter.dilation else 1,
            transposed,
        )
        for axis in (0, 1)
    )
    groups = int(parameter.group)
    found = []
    for field, shape in zip(below, shapes, strict=True):
        members = np.split(np.arange(len(field.groups)), groups)
        merged = _merged(field, members, np.arange(groups).repeat(shape[0] // groups))
        found.append(_slid(merged, (windows[0], windows[1]), shape))
    return found


def _of_axis(parameter: Any, repeated: str, stem: str, axis: int, default: int) -> int:
    """A size that stands once for both axes, once for each, or by its own name."""
    own = f"{stem}_{'hw'[axis]}"
    if parameter.HasField(own):
        return int(getattr(parameter, own))
    values = getattr(parameter, repeated)
    return int(values[min(axis, len(values) - 1)]) if len(values) else default


def _pooling(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    parameter = _definition(node).pooling_param
    if parameter.global_pooling:
        return [_everywhere(below[0])] * len(shapes)
    windows = []
    for axis in "hw":
        by_axis = parameter.HasField(f"kernel_{axis}")
        kernel = getattr(parameter, f"kernel_{axis}") if by_axis else parameter.kernel_size
        stride, pad = (
            getattr(parameter, f"{name}_{axis}") if parameter.HasField(f"{name}_h") else getattr(parameter, name)
            for name in ("stride", "pad")
        )
        windows.append(_Window(int(kernel), int(stride), int(pad)))
    return [_slid(below[0], (windows[0], windows[1]), shape) for shape in shapes]


def _lrn(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    parameter, field = _definition(node).lrn_param, below[0]
    size = int(parameter.local_size)
    if parameter.norm_region == parameter.WITHIN_CHANNEL:
        window = _Window(size, 1, (size - 1) // 2)
        return [_slid(field, (window, window), shapes[0])]
    channels = len(field.groups)
    around = [np.arange(max(0, each - size // 2), min(channels, each + size // 2 + 1)) for each in range(channels)]
    return [_merged(field, around, np.arange(channels))]


def _dense(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    return None if _definition(node).inner_product_param.axis not in (1, -3) else [_all_of(below, shapes[0])]


def _softmax(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    return [_all_channels(below[0], shapes[0][0])] if _definition(node).softmax_param.axis in (1, -3) else None


def _concat(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    parameter = _definition(node).concat_param
    axis = int(parameter.concat_dim) if parameter.HasField("concat_dim") else int(parameter.axis)
    if axis % 4 == 1 or shapes[0][1:] == (1, 1):
        offsets = np.cumsum([0, *(len(each.rows) for each in below[:-1])])
        groups = np.concatenate([each.groups + offset for each, offset in zip(below, offsets, strict=True)])
        rows, columns = (np.concatenate([getattr(each, axis) for each in below]) for axis in ("rows", "columns"))
        return [_compact(Field(groups.astype(np.int32), rows, columns, below[0].extent))]
    aligned = _aligned(below)
    which = "rows" if axis % 4 == 2 else "columns"
    other = _hull(np.stack([getattr(each, "columns" if which == "rows" else "rows") for each in aligned]), 0)
    along = np.concatenate([getattr(each, which) for each in aligned], axis=1)
    rows, columns = (along, other) if which == "rows" else (other, along)
    return [Field(aligned[0].groups, rows, columns, below[0].extent)]


def _aligned(fields: Sequence[Field]) -> list[Field]:
    """The same fields, all with the same groups."""
    if all(len(each.rows) == 1 for each in fields):
        return list(fields)
    pairs, groups = np.unique(np.stack([each.groups for each in fields]), axis=1, return_inverse=True)
    return [
        Field(groups.reshape(-1).astype(np.int32), field.rows[own], field.columns[own], field.extent)
        for field, own in zip(fields, pairs, strict=True)
    ]


def _slice(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    parameter, field = _definition(node).slice_param, below[0]
    axis = int(parameter.slice_dim) if parameter.HasField("slice_dim") else int(parameter.axis)
    place = {1: 0, 2: 1, 3: 2}.get(axis % 4, 0) if field.shape[1:] != (1, 1) else 0
    found, start = [], 0
    for shape in shapes:
        part = slice(start, start + shape[place])
        start += shape[place]
        found.append(
            Field(
                field.groups[part] if place == 0 else field.groups,
                field.rows[:, part] if place == 1 else field.rows,
                field.columns[:, part] if place == 2 else field.columns,
                field.extent,
            )
        )
    return found


def _crop(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    """The second input gives its size only."""
    parameter, field = _definition(node).crop_param, below[0]
    first = int(parameter.axis) % 4
    offsets = [int(each) for each in parameter.offset] or [0]
    starts = [0, 0, 0]
    for axis in range(max(first, 1), 4):
        starts[axis - 1] = offsets[0] if len(offsets) == 1 else offsets[axis - first]
    parts = [slice(start, start + size) for start, size in zip(starts, shapes[0], strict=True)]
    rows, columns = field.rows[:, parts[1]], field.columns[:, parts[2]]
    return [Field(field.groups[parts[0]], rows, columns, field.extent)]


def _flatten(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    """Values in their order, channel by channel and row by row."""
    field, shape = below[0], shapes[0]
    if shape == field.shape:
        return [field]
    channels, height, width = field.shape
    if shape != (channels * height * width, 1, 1):
        return None
    count = len(field.rows)
    rows = field.rows[:, :, None].repeat(width, axis=2).reshape(count * height * width, 1, 2)
    columns = field.columns[:, None].repeat(height, axis=1).reshape(count * height * width, 1, 2)
    places = np.arange(height * width)
    groups = (field.groups[:, None] * (height * width) + places).reshape(-1)
    return [_compact(Field(groups.astype(np.int32), rows, columns, field.extent))]


def _handed_on(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    return [below[0]] * len(shapes)


def _tile(node: Node, below: Sequence[Field], shapes: Sequence[tuple[int, int, int]]) -> list[Field] | None:
    parameter, field = _definition(node).tile_param, below[0]
    times, axis = int(parameter.tiles), int(parameter.axis) % 4
    if axis == 1 or field.shape[1:] == (1, 1) == shapes[0][1:]:
        return [Field(np.tile(field.groups, times), field.rows, field.columns, field.extent)]
    rows = np.tile(field.rows, (1, times, 1)) if axis == 2 else field.rows
    columns = np.tile(field.columns, (1, times, 1)) if axis == 3 else field.columns
    return [Field(field.groups, rows, columns, field.extent)]


_HANDLERS: Mapping[str, _Handler] = {
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "Pooling": _pooling,
    "LRN": _lrn,
    "InnerProduct": _dense,
    "Softmax": _softmax,
    "Concat": _concat,
    "Slice": _slice,
    "Crop": _crop,
    "Flatten": _flatten,
    "Reshape": _flatten,
    "Split": _handed_on,
    "Eltwise": _each_for_itself,
    "Tile": _tile,
}
