"""The interface that every data set offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Split:
    """Part of a data set: pictures on demand, their ids and classes.

    `images[i]` is uint8 (H, W) or (H, W, 3); `labels` int64 (N,).
    """

    name: str
    ids: Sequence[str]
    images: Sequence[Pixels]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


class Dataset(Protocol):
    """A data set with fixed splits."""

    name: str
    classes: tuple[str, ...]

    def split(self, name: str) -> Split:
        """The split `train`, `val` or `test`.

        Raises:
            DataError: no such split.
        """
        ...
