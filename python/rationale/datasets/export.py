"""Writes pictures of a data set as files, for trying things out."""

from pathlib import Path

from PIL import Image

from rationale.datasets.dataset import Dataset
from rationale.errors import OutputError


def export_pictures(dataset: Dataset, split: str, each: int, folder: Path) -> list[Path]:
    """Writes the first `each` pictures of every class of a split as PNG and returns their paths, class by class.

    Raises:
        DataError: no such split.
        OutputError: the folder cannot be written.
    """
    part = dataset.split(split)
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, label in enumerate(dataset.classes):
            for row in (part.labels == number).nonzero()[0][:each]:
                path = folder / f"{label}-{part.ids[row].replace('/', '-')}.png"
                Image.fromarray(part.images[row]).save(path)
                written.append(path)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return written
