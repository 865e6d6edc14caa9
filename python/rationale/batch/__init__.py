"""The same work over a whole data set: resumable, here or on workers."""

from rationale.batch.heatmaps import write_heatmaps
from rationale.batch.job import Crew, Job

__all__ = ["Crew", "Job", "write_heatmaps"]
