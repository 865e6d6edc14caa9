"""Relevance through maximum pooling under rules that do not look at activations."""

from itertools import product

from rationale.lrp.kernels import Windows
from rationale.lrp.linear import Passed
from rationale.lrp.workspace import Workspace
from rationale.network import Node


def propagate_evenly(space: Workspace, node: Node) -> Passed:
    """R_i = Σ_j R_j / n_j over the windows j that hold i; n_j counts the inputs in the window, not its padding."""
    kernels = space.kernels
    relevance, below = space.diff(node.tops[0]), space.diff(node.bottoms[0])
    places = _window_places(node, below.shape[2:], relevance.shape[2:])
    counts = kernels.window_counts(places, relevance.shape[2:])
    lost = kernels.share_out(relevance, counts, relevance)
    kernels.add_windows(relevance, places, below)
    return Passed(kernels.total(below), kernels.nothing(len(relevance)), lost)


def _window_places(node: Node, below: tuple[int, ...], above: tuple[int, ...]) -> Windows:
    """See `kernels.Windows`."""
    axes = [_along(node, axis, below[axis], above[axis]) for axis in (0, 1)]
    return [((rows[0], columns[0]), (rows[1], columns[1])) for rows, columns in product(*axes)]


def _along(node: Node, axis: int, below: int, above: int) -> list[tuple[slice, slice]]:
    """The same along one axis."""
    pooling = node.parameter.pooling_param  # type: ignore[union-attr]
    side = "hw"[axis]

    def stated(name: str, default: int) -> int:
        own = int(getattr(pooling, f"{name}_{side}"))
        common = {"kernel": "kernel_size"}.get(name, name)
        return own or (int(getattr(pooling, common)) if pooling.HasField(common) else default)

    size = below if pooling.global_pooling else stated("kernel", 1)
    stride, pad = (1, 0) if pooling.global_pooling else (stated("stride", 1), stated("pad", 0))
    found = []
    for place in range(size):
        start = place - pad  # where the first output's window has it
        first = max(0, -(start // stride))  # the first output for which it lies inside
        last = min(above - 1, (below - 1 - start) // stride)
        if first <= last:
            inside = slice(start + first * stride, start + last * stride + 1, stride)
            found.append((inside, slice(first, last + 1)))
    return found
