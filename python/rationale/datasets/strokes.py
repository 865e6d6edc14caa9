"""What a handwritten digit is made of, measured: loops, ends, strokes, places where they meet, and slant.

A digit is enlarged, made ink or paper, and thinned to its skeleton; what pens leave by accident (tiny holes, short
spurs) is not counted. All of it is scikit-image's; here is what is asked of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, distance_transform_edt
from skimage.measure import label, moments_central, regionprops
from skimage.morphology import dilation, skeletonize
from skimage.transform import probabilistic_hough_line, resize

from rationale.datasets.dataset import Mask
from rationale.images import Pixels

_TIMES = 4  # enlargement
_INK = 0.5
_INKS = (0.5, 0.2, 0.35, 0.65)  # a loop counts that is closed at one of these: faint joints, thick pens
_HOLE = 10  # pixels that a loop encloses, enlarged, at least
_SPUR = 9 * _TIMES // 2  # pixels of a branch that is no stroke, enlarged, at most
_NEIGHBOURS = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
_STRAIGHT = 0.42  # of the digit's height (its width for a bar) that a straight stroke covers, at least
_SLANT = 0.25  # columns that a digit leans per row, at least

MEASURED_AS = 1  # another number where what is measured changes
PARTS = ("loops", "ends", "bar", "stem", "meeting", "whole")


@dataclass(frozen=True, eq=False)
class Strokes:
    """What was measured: a value for each attribute, and where each part is, bool (H, W)."""

    attributes: Mapping[str, str]
    parts: Mapping[str, Mask]


def measure_strokes(digit: Pixels) -> Strokes:
    """Measures a digit, white on black, uint8 (H, W).

    Attributes: `loops` (none, one: at the top, at the bottom, large; two) and `closed` (whether there are any, yes or
    no), `ends` (0, 1, 2, or more), `bar` (across
    top, middle or bottom; none), `stem` (a straight stroke down the middle, left or right; none), `meeting` (places
    where strokes meet: 0, 1, or more), and `slant` (left, right, none).
    """
    large = resize(digit.astype(np.float64) / 255, [side * _TIMES for side in digit.shape], order=3)
    ink = large > _INK
    if not ink.any():
        nothing = {"bar": "none", "stem": "none", "meeting": "0", "slant": "none"}
        return Strokes({**nothing, "loops": "none", "closed": "no", "ends": "0"}, {})
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    parts: dict[str, Mask] = {}
    loops = _loops(large, box, parts)
    skeleton = _pruned(skeletonize(ink))
    counts = convolve(skeleton.astype(int), _NEIGHBOURS, mode="constant") * skeleton
    ends = counts == 1
    crossing = label(_grown(counts >= 3, _TIMES), connectivity=2)
    meetings = int(crossing.max())
    if ends.any():
        parts["ends"] = _grown(ends, 2 * _TIMES)
    if meetings:
        parts["meeting"] = _grown(crossing > 0, _TIMES)
    bar, stem = _lines(skeleton, box, parts)
    parts["whole"] = ink
    attributes = {
        "loops": loops,
        "closed": "no" if loops == "none" else "yes",
        "ends": _counted(int(ends.sum()), 3),
        "bar": bar,
        "stem": stem,
        "meeting": _counted(meetings, 2),
        "slant": _slant(large * ink),
    }
    small = {name: _reduced(mask) for name, mask in parts.items()}
    return Strokes(attributes, {name: mask for name, mask in small.items() if mask.any()})


def _counted(number: int, most: int) -> str:
    return str(number) if number < most else "more"


def _loops(large: NDArray[np.float64], box: tuple[int, ...], parts: dict[str, Mask]) -> str:
    """How many loops, and where; their region is what they enclose and the ink around."""
    paper, holes = max((_holes(large > level) for level in _INKS), key=lambda found: min(len(found[1]), 2))
    if not holes:
        return "none"
    top, bottom = box[:2]
    largest = sorted(holes, key=lambda each: -each.area)[:2]
    enclosed = np.isin(paper, [each.label for each in largest])[1:-1, 1:-1]
    parts["loops"] = _grown(enclosed, 3 * _TIMES)
    if len(largest) == 2:
        return "two"
    first, _, last, _ = largest[0].bbox
    if (last - first) / (bottom - top) > 0.5:
        return "large"
    return "top" if ((first + last) / 2 - 1 - top) / (bottom - top) < 0.5 else "bottom"


def _holes(ink: Mask) -> tuple[NDArray[np.int64], list[Any]]:
    """Labels of what is no ink, one pixel of margin around, and what of it is enclosed."""
    paper = label(~np.pad(ink, 1), connectivity=1)
    return paper, [each for each in regionprops(paper) if each.label != paper[0, 0] and each.area >= _HOLE]


def _pruned(skeleton: Mask) -> Mask:
    """A skeleton without branches that are shorter than a stroke."""
    kept = skeleton.copy()
    for _ in range(3):
        counts = convolve(kept.astype(int), _NEIGHBOURS, mode="constant") * kept
        knots = dilation(counts >= 3, np.ones((3, 3), bool)) & kept
        beside = dilation(knots, np.ones((3, 3), bool))
        branches = label(kept & ~knots, connectivity=2)
        gone = np.zeros_like(kept)
        for each in regionprops(branches):
            own = branches == each.label
            at_end = bool((own & (counts == 1)).any())
            joined = bool((own & beside).any())
            if at_end and joined and each.area <= _SPUR:
                gone |= own
        if not gone.any():
            break
        kept = skeletonize(kept & ~gone)
    return kept


def _lines(skeleton: Mask, box: tuple[int, ...], parts: dict[str, Mask]) -> tuple[str, str]:
    """Where a straight bar lies across, and where a straight stroke goes down; the longest of each."""
    top, bottom, left, right = box
    height, width = bottom - top, right - left
    least = max(int(_STRAIGHT * min(height, width)), 6)
    drawn = _grown(skeleton, _TIMES // 2)
    found = probabilistic_hough_line(drawn, threshold=10, line_length=least, line_gap=_TIMES, rng=0)
    across, down = ("none", 0.0), ("none", 0.0)
    for (x0, y0), (x1, y1) in found:
        wide, high = abs(x1 - x0), abs(y1 - y0)
        long = float(np.hypot(wide, high))
        if high < 0.45 * wide and wide >= _STRAIGHT * max(width, 0.5 * height) and long > across[1]:
            at = ((y0 + y1) / 2 - top) / height
            across = ("top" if at < 0.33 else "bottom" if at > 0.67 else "middle", long)
            parts["bar"] = _line(skeleton.shape, (x0, y0), (x1, y1))
        if wide < 0.6 * high and high >= _STRAIGHT * height and long > down[1]:
            at = ((x0 + x1) / 2 - left) / width if width > 0.3 * height else 0.5
            down = ("left" if at < 0.33 else "right" if at > 0.67 else "middle", long)
            parts["stem"] = _line(skeleton.shape, (x0, y0), (x1, y1))
    return across[0], down[0]


def _line(shape: tuple[int, ...], start: tuple[int, int], end: tuple[int, int]) -> Mask:
    steps = int(max(abs(end[0] - start[0]), abs(end[1] - start[1]))) + 1
    mask = np.zeros(shape, bool)
    columns, rows = (np.linspace(start[each], end[each], steps).round().astype(int) for each in (0, 1))
    mask[rows, columns] = True
    return np.asarray(_grown(mask, 2 * _TIMES))


def _slant(weights: NDArray[np.float64]) -> str:
    moments = moments_central(weights, order=2)
    lean = moments[1, 1] / moments[2, 0] if moments[2, 0] > 0 else 0.0  # columns to the right per row downwards
    return "right" if lean < -_SLANT else "left" if lean > _SLANT else "none"


def _grown(mask: Mask, radius: float) -> Mask:
    """The pixels that are at most so far from a region: a dilation by a disc."""
    return np.asarray(distance_transform_edt(~mask) <= radius) if mask.any() else np.zeros(mask.shape, bool)


def _reduced(mask: Mask) -> Mask:
    """At the digit's own size: a pixel belongs to what covers half of it."""
    height, width = (side // _TIMES for side in mask.shape)
    return np.asarray(mask.reshape(height, _TIMES, width, _TIMES).mean(axis=(1, 3)) >= 0.5)
