"""Strokes must be those that were drawn."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from rationale.datasets.mnist import SPOKEN_OF, Digits
from rationale.datasets.strokes import PARTS, measure_strokes


def drawn(*lines: list[tuple[float, float]], rings: tuple[tuple[float, float, float], ...] = ()) -> np.ndarray:
    """White strokes on black, drawn large and made small, as MNIST's digits were."""
    large = Image.new("L", (28 * 8, 28 * 8))
    pen = ImageDraw.Draw(large)
    for line in lines:
        pen.line([(8 * x, 8 * y) for x, y in line], fill=255, width=18, joint="curve")
    for x, y, radius in rings:
        pen.ellipse([8 * (x - radius), 8 * (y - radius), 8 * (x + radius), 8 * (y + radius)], outline=255, width=18)
    return np.array(large.resize((28, 28), Image.Resampling.BOX))


SEVEN = drawn([(8, 5), (19, 5), (12, 23)])
DIGITS = {
    "0": (drawn(rings=((14, 14, 8),)), {"loops": "large", "ends": "0", "meeting": "0"}),
    "1": (drawn([(14, 4), (14, 24)]), {"loops": "none", "ends": "2", "stem": "middle", "slant": "none"}),
    "leaning 1": (drawn([(19, 4), (9, 24)]), {"ends": "2", "slant": "right"}),
    "4": (drawn([(8, 4), (8, 14), (21, 14)], [(18, 5), (18, 24)]), {"loops": "none", "ends": "more", "stem": "right"}),
    "6": (drawn([(10, 3), (9, 18)], rings=((14, 19, 5),)), {"loops": "bottom", "ends": "1"}),
    "7": (SEVEN, {"loops": "none", "ends": "2", "bar": "top"}),
    "8": (drawn(rings=((14, 9, 5), (14, 19, 5))), {"loops": "two", "ends": "0"}),
    "9": (drawn([(18, 9), (17, 24)], rings=((14, 9, 5),)), {"loops": "top", "ends": "1"}),
    "plus": (drawn([(14, 4), (14, 24)], [(5, 14), (23, 14)]), {"ends": "more", "meeting": "1", "bar": "middle"}),
}


@pytest.mark.parametrize("name", DIGITS)
def test_what_was_drawn_is_measured(name: str) -> None:
    digit, wanted = DIGITS[name]
    found = measure_strokes(digit)
    assert {each: found.attributes[each] for each in wanted} == wanted
    assert set(found.parts) <= set(PARTS)
    for mask in found.parts.values():
        assert mask.shape == (28, 28)
        assert mask.any()


def test_parts_lie_where_they_were_drawn() -> None:
    parts = measure_strokes(SEVEN).parts
    rows, _ = np.nonzero(parts["bar"])
    assert rows.max() < 9
    ends = parts["ends"]
    assert ends[5, 8]
    assert ends[23, 12]
    assert not ends[5, 19]  # a corner is no end
    assert not measure_strokes(DIGITS["1"][0]).parts.keys() & {"loops", "meeting", "bar"}
    ring = measure_strokes(DIGITS["6"][0]).parts["loops"]
    assert ring[19, 14]
    assert not ring[4, 10]


def test_nothing_drawn_is_nothing_measured() -> None:
    found = measure_strokes(np.zeros((28, 28), np.uint8))
    assert found.parts == {}
    assert found.attributes["loops"] == "none"


def test_the_digits_that_are_spoken_of_are_the_first() -> None:
    digits = Digits()
    for name, count in SPOKEN_OF.items():
        split = digits.split(name)
        assert len(split) == len(split.images) == len(split.labels) == count
        assert split.attributes is not None
        assert split.parts is not None
        own = measure_strokes(np.asarray(split.images[7]))
        assert split.attributes[7] == own.attributes
        assert split.parts[7].keys() == own.parts.keys()
