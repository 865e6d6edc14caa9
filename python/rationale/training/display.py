"""Shows a training run on the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rationale.render.terminal import progress_bar
from rationale.training.classifier import Progress, Report


@contextmanager
def training_display(what: str) -> Iterator[Report]:
    """A bar with the loss and the accuracy on the validation split; yields what `train_classifier` reports to."""
    with progress_bar(f"training {what}") as advance:
        yield lambda progress, last: advance(progress.iteration, last, _note(progress))


def _note(progress: Progress) -> str:
    parts = []
    if progress.loss:
        parts.append(f"loss {progress.loss[-1][1]:.4f}")
    if progress.accuracy:
        parts.append(f"accuracy {progress.accuracy[-1][1]:.2%}")
    return ", ".join(parts)
