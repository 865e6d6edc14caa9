"""What the heatmap says of a picture, as the generator's static input: where relevance lies, and in which channels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import ModelError

Array = NDArray[np.float32]

WHERE, FEATURE, RELEVANCE = "where", "feature", "relevance"  # inputs of explainer.prototxt


@dataclass(frozen=True, eq=False)
class Evidence:
    """The evidence for one class in each of N pictures, all float32.

    Attributes:
        where: (N, columns · rows), √ of how dense positive relevance is in each cell of a grid over the picture, row
            by row; 1 is the picture's mean.
        feature: (N, C), mean activation of each channel of the feature layer.
        relevance: (N, C), relevance of each of these channels, signed.
    """

    where: Array
    feature: Array
    relevance: Array

    def __len__(self) -> int:
        return len(self.where)

    def __getitem__(self, rows: slice | NDArray[np.integer] | list[int]) -> "Evidence":
        """The evidence of some pictures."""
        return Evidence(self.where[rows], self.feature[rows], self.relevance[rows])

    def items(self) -> Iterator[tuple[str, Array]]:
        """The arrays by the names of the network's inputs."""
        yield from ((WHERE, self.where), (FEATURE, self.feature), (RELEVANCE, self.relevance))

    def arrays(self) -> dict[str, Array]:
        """The same as a mapping."""
        return dict(self.items())


def evidence_of(heatmaps: Array, activation: Array, relevance: Array, grid: tuple[int, int]) -> Evidence:
    """Sums up heatmaps and a layer.

    Args:
        heatmaps: relevance of each pixel, (N, H, W).
        activation: of the feature layer, (N, C, h, w) or (N, C).
        relevance: of the feature layer, of the same shape.
        grid: columns and rows of cells.
    """
    flat = activation.reshape(*activation.shape[:2], -1), relevance.reshape(*relevance.shape[:2], -1)
    return Evidence(
        np.sqrt(cell_densities(heatmaps, grid)).reshape(len(heatmaps), -1).astype(np.float32),
        flat[0].mean(axis=2, dtype=np.float64).astype(np.float32),
        flat[1].sum(axis=2, dtype=np.float64).astype(np.float32),
    )


def cell_densities(heatmaps: Array, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Mean positive relevance in each cell over that of the picture, (N, rows, columns); 0 where there is none.

    Pixels belong to the cells that they overlap, in the share in which they do.

    Raises:
        ModelError: more cells than pixels.
    """
    columns, rows = grid
    height, width = heatmaps.shape[1:]
    if columns > width or rows > height:
        raise ModelError(f"a grid of {columns} × {rows} cells is finer than a picture of {width} × {height} pixels")
    positive = np.maximum(heatmaps, 0).astype(np.float64)
    sums = _overlaps(rows, height) @ positive @ _overlaps(columns, width).T
    means = sums / (height / rows * width / columns)
    whole = positive.mean(axis=(1, 2))[:, None, None]
    return np.asarray(np.divide(means, whole, out=np.zeros_like(means), where=whole > 0))


def over_pixels(amounts: NDArray[np.floating], heatmap: Array, grid: tuple[int, int]) -> NDArray[np.float64]:
    """Hands what cells hold to their pixels in proportion to positive relevance; evenly where a cell has none.

    Args:
        amounts: of the cells, row by row, (K, columns · rows).
        heatmap: relevance of each pixel, (H, W).
        grid: columns and rows.

    Returns:
        (K, H, W), which sums to what the cells hold.
    """
    columns, rows = grid
    by_row, by_column = _overlaps(rows, heatmap.shape[0]), _overlaps(columns, heatmap.shape[1])
    positive = np.maximum(heatmap, 0).astype(np.float64)
    sums = by_row @ positive @ by_column.T
    cells = np.asarray(amounts, np.float64).reshape(-1, rows, columns)
    dense = np.divide(cells, sums, out=np.zeros_like(cells), where=sums > 0)
    even = np.where(sums > 0, 0.0, cells) / (by_row.sum(axis=1)[:, None] * by_column.sum(axis=1)[None])
    return np.asarray(by_row.T @ dense @ by_column * positive + by_row.T @ even @ by_column)


def _overlaps(cells: int, pixels: int) -> NDArray[np.float64]:
    """How much of each pixel lies in each cell, (cells, pixels)."""
    edges = np.linspace(0, pixels, cells + 1)
    left = np.maximum(edges[:-1, None], np.arange(pixels)[None])
    right = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None])
    return np.asarray(np.maximum(right - left, 0))


def merged(parts: list[Evidence]) -> Evidence:
    """Evidence of several batches as one."""
    joined: Mapping[str, Array] = {
        name: np.concatenate([part.arrays()[name] for part in parts]) for name in (WHERE, FEATURE, RELEVANCE)
    }
    return Evidence(joined[WHERE], joined[FEATURE], joined[RELEVANCE])
