"""The same work over a whole data set, into one file."""

from rationale.batch.heatmaps import write_heatmaps

__all__ = ["write_heatmaps"]
