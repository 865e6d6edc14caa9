"""Shows a training run on the terminal and as a picture."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from rationale.errors import OutputError
from rationale.render.charts import Line, line_chart
from rationale.render.terminal import progress_bar
from rationale.training.loop import Progress, Report

_BLOCKS = "▁▂▃▄▅▆▇█"
_POINTS = 12


@contextmanager
def training_display(what: str, folder: Path, name: str = "curves.png") -> Iterator[Report]:
    """A bar with the curves; yields what `train_classifier` reports to.

    The curves so far are drawn to the file `name` in `folder`, where matplotlib is there.
    """
    drawing = Drawing(what, folder, name)

    def report(progress: Progress, last: int) -> None:
        advance(progress.iteration, last, _note(progress))
        drawing(progress)

    with progress_bar(f"training {what}") as advance:
        yield report


class Drawing:
    """Draws curves.png anew in a folder whenever there is a new point, where matplotlib is there."""

    def __init__(self, what: str, folder: Path, name: str = "curves.png") -> None:
        self._what = what
        self._path = folder / name
        self._drawn = 0

    def __call__(self, progress: Progress) -> None:
        """Draws, if `progress` has a point that is not drawn yet."""
        points = sum(map(len, progress.curves.values()))
        if points > self._drawn:
            self._drawn = points
            with suppress(OutputError):
                draw_curves(self._what, progress, self._path)


def draw_curves(what: str, progress: Progress, path: Path) -> Path:
    """The curves over the updates, as a PNG: those whose names begin alike up to a comma in one panel.

    Raises:
        OutputError: matplotlib is missing, or the file cannot be written.
    """
    panels: dict[str, dict[str, Line]] = {}
    for curve, points in progress.curves.items():
        panel, _, name = curve.partition(", ")
        panels.setdefault(panel, {})[name or panel] = Line(*zip(*points, strict=True))
    return line_chart(path, what, panels, x_label="updates", y_label="", share_y=False)


def _note(progress: Progress) -> str:
    parts = [
        f"{name.split(' with ')[0]} {_curve(points)} {points[-1][1]:.3f}" for name, points in progress.curves.items()
    ]
    return "  ".join([*parts, progress.remark]).strip()


def _curve(points: Sequence[tuple[int, float]]) -> str:
    """The last points as a line of blocks, between their least and their greatest."""
    values = np.array([value for _, value in points[-_POINTS:]])
    span = np.ptp(values) or 1.0
    return "".join(_BLOCKS[int((value - values.min()) / span * (len(_BLOCKS) - 1))] for value in values)
