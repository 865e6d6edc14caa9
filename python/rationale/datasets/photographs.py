"""Photographs on disk, read when they are asked for."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rationale.datasets.dataset import OnDemand, Pixels
from rationale.images import load_image, to_rgb


def photographs(paths: Sequence[Path]) -> OnDemand[Path, Pixels]:
    """The pictures in these files, uint8 (H, W, 3), each read when it is asked for.

    Raises:
        ImageError: (on access) a file cannot be read.
    """
    return OnDemand(paths, _read)


def _read(path: Path) -> Pixels:
    return np.ascontiguousarray(to_rgb(load_image(path)))
