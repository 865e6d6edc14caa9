"""Which axis of each blob is that of the samples: the first one, or none; and that no layer mixes them.

What a network says of one picture must not depend on the others in its batch, nor on how many there are.
"""

from collections.abc import Iterable
from typing import Any

from rationale.errors import NetworkError
from rationale.network.graph import Graph
from rationale.network.kinds import measures_only, mixes_samples
from rationale.network.prototxt import NetParameter

_HOW = "so that what it puts out for one picture depends on others; replace it in the prototxt, or cut it off"


def free_batch(network: NetParameter, name: str, understood: list[str]) -> set[int]:
    """Lets inputs start with a batch of one, and Reshape layers follow the batch that the file fixes.

    Returns the sizes of batches in the file.

    Raises:
        NetworkError: a layer takes samples together or apart.
    """
    shapes = [shape for layer in network.layer if layer.type == "Input" for shape in layer.input_param.shape]
    sizes = {int(shape.dim[0]) for shape in shapes if shape.dim}
    dependent: set[str] = set()
    for layer in network.layer:
        if layer.type == "Input" or dependent & set(layer.bottom):
            dependent.update(layer.top)
        if layer.type == "Input":
            continue
        if dependent & set(layer.bottom):
            if reason := mixes_samples(layer):
                raise mixing(name, layer.name, layer.type, reason)
            if layer.type == "Reshape":
                _follow_batch(layer, sizes, name, understood)
    for shape in shapes:
        if shape.dim:
            shape.dim[0] = 1
    return sizes


def mixing(name: str, layer: str, type_: str, reason: str) -> NetworkError:
    """The error for a layer that mixes samples."""
    return NetworkError(f"{name}: layer {layer!r} ({type_}) {reason}, {_HOW}")


def _follow_batch(layer: Any, sizes: set[int], name: str, understood: list[str]) -> None:
    dims = layer.reshape_param.shape.dim
    if layer.reshape_param.axis != 0 or not dims or dims[0] in (0, -1):
        return
    if dims[0] not in sizes:
        reason = f"makes {dims[0]} of the {', '.join(map(str, sorted(sizes)))} samples in a batch"
        raise mixing(name, layer.name, layer.type, reason)
    if dims[0] != 1:
        understood.append(f"layer {layer.name!r} is reshaped for any batch, not only for {dims[0]}")
    dims[0] = 0


def sample_axes(graph: Graph, inputs: Iterable[int]) -> dict[int, int | None]:
    """The axis of the samples in each blob, by its index: 0, or None where it does not depend on the inputs."""
    axes: dict[int, int | None] = dict.fromkeys(inputs, 0)
    for node in graph.nodes:
        depends = any(axes.get(blob) == 0 for blob in node.bottoms)
        axes |= {blob: 0 if depends else axes.get(blob) for blob in node.tops}
    return axes


def check_samples(graph: Graph, axes: dict[int, int | None], shapes: dict[int, tuple[int, ...]], name: str) -> None:
    """Checks every layer against the shapes of all blobs for a batch of two.

    Raises:
        NetworkError: a layer mixes samples.
    """
    for node in graph.nodes:
        if (
            node.parameter is None
            or not node.bottoms
            or not node.tops
            or axes[node.tops[0]] != 0
            or measures_only(node.type)
        ):
            continue
        if reason := mixes_samples(node.parameter, len(shapes[node.bottoms[0]])):
            raise mixing(name, node.name, node.type, reason)
        wrong = [shapes[blob] for blob in node.tops if shapes[blob][:1] != (2,)]
        if wrong and all(shapes[blob][:1] == (2,) for blob in node.bottoms if axes[blob] == 0):
            raise mixing(name, node.name, node.type, f"makes {wrong[0]} of two samples")
