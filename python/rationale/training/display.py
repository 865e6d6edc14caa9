"""Shows a training run on the terminal and as a picture."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rationale.errors import OutputError
from rationale.render.charts import Line, line_chart
from rationale.render.terminal import progress_bar
from rationale.training.classifier import Progress, Report


@contextmanager
def training_display(what: str, folder: Path) -> Iterator[Report]:
    """A bar with the loss and the accuracy on the validation split; yields what `train_classifier` reports to.

    The curves so far are drawn to curves.png in `folder`, where matplotlib is there.
    """
    drawing = Drawing(what, folder)

    def report(progress: Progress, last: int) -> None:
        advance(progress.iteration, last, _note(progress))
        drawing(progress)

    with progress_bar(f"training {what}") as advance:
        yield report


class Drawing:
    """Draws curves.png anew in a folder whenever there is a new point, where matplotlib is there."""

    def __init__(self, what: str, folder: Path) -> None:
        self._what = what
        self._path = folder / "curves.png"
        self._drawn = 0

    def __call__(self, progress: Progress) -> None:
        """Draws, if `progress` has a point that is not drawn yet."""
        if len(progress.loss) > self._drawn:
            self._drawn = len(progress.loss)
            with suppress(OutputError):
                draw_curves(self._what, progress, self._path)


def draw_curves(what: str, progress: Progress, path: Path) -> Path:
    """Loss and accuracy over the updates, as a PNG.

    Raises:
        OutputError: matplotlib is missing, or the file cannot be written.
    """
    accuracy = {"training batches, with what augments them": progress.learnt, "validation split": progress.accuracy}
    curves = {"training loss": {"loss": progress.loss}, "accuracy": accuracy}
    panels = {
        title: {name: Line(*zip(*points, strict=True)) for name, points in lines.items() if points}
        for title, lines in curves.items()
        if any(lines.values())
    }
    return line_chart(path, what, panels, x_label="updates", y_label="", share_y=False)


def _note(progress: Progress) -> str:
    parts = []
    if progress.loss:
        parts.append(f"loss {progress.loss[-1][1]:.4f}")
    if progress.learnt:
        parts.append(f"{progress.learnt[-1][1]:.1%} of what it learns from right")
    if progress.accuracy:
        parts.append(f"{progress.accuracy[-1][1]:.2%} of the validation split")
    return ", ".join(parts)
