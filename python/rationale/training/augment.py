"""Random changes of training pictures that leave their class as it is."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from rationale.description import Training

Array = NDArray[np.float32]


def augment(batch: Array, how: Training, random: np.random.Generator) -> Array:
    """Rotates (degrees), zooms (share) and shifts (pixels) each picture of (N, C, H, W) at random, within `how`."""
    if not (how.rotate or how.zoom or how.shift):
        return batch
    centre = (np.array(batch.shape[2:]) - 1) / 2
    changed = np.empty_like(batch)
    for picture, result in zip(batch, changed, strict=True):
        angle = np.deg2rad(random.uniform(-how.rotate, how.rotate))
        size = 1 + random.uniform(-how.zoom, how.zoom)
        cosine, sine = np.cos(angle) / size, np.sin(angle) / size
        matrix = np.array([[cosine, -sine], [sine, cosine]])
        offset = centre - matrix @ (centre + random.uniform(-how.shift, how.shift, 2))
        for channel, plane in zip(picture, result, strict=True):
            affine_transform(channel, matrix, offset, output=plane, order=1, mode="nearest")
    return changed
