"""The colours of signed relevance: red for it, blue against it, white for nothing."""

import numpy as np
from numpy.typing import NDArray

# Anchors from 0 to 1, RGB. Both arms lose lightness at the same pace, and red against blue stays apart for all common
# kinds of colour blindness.
_FOR = np.array([(255, 255, 255), (253, 219, 199), (239, 138, 98), (202, 52, 52), (103, 0, 31)], float)
_AGAINST = np.array([(255, 255, 255), (209, 229, 240), (103, 169, 207), (38, 106, 172), (5, 48, 97)], float)

# Of phrases and of the outlines of what they name: apart from relevance's red and blue, and from each other to
# colour-blind eyes (after Okabe and Ito).
PART_COLOURS = ("#e08a00", "#00835f", "#b0509b", "#5d6b00", "#7a4fd0", "#8a5a2b")

_DRAWING = 4096  # pixels at most of what counts as a drawing


def symmetric_scale(values: NDArray[np.floating]) -> float:
    """The magnitude that is drawn in the darkest colour; 1 where all is zero.

    On drawings the largest one; on the maps of photographs, where a few single pixels would leave all others pale, that
    which one pixel in 500 exceeds.
    """
    magnitudes = np.abs(np.asarray(values, np.float64)).ravel()
    if magnitudes.size > _DRAWING:
        return float(np.quantile(magnitudes, 0.998)) or float(magnitudes.max()) or 1.0
    return float(np.max(magnitudes, initial=0.0)) or 1.0


def diverging(values: NDArray[np.floating], scale: float) -> NDArray[np.uint8]:
    """Colours of relevance from −scale to +scale: uint8 of the shape of `values` plus (3,)."""
    strength = np.clip(np.abs(values) / scale, 0, 1)
    stops = np.linspace(0, 1, len(_FOR))
    channels = [
        np.where(values >= 0, np.interp(strength, stops, _FOR[:, rgb]), np.interp(strength, stops, _AGAINST[:, rgb]))
        for rgb in range(3)
    ]
    return np.stack(channels, axis=-1).round().astype(np.uint8)
