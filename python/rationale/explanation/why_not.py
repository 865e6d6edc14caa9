"""Why not another class: what sets the two apart in this picture, and what would have to be otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Difference:
    """An attribute in which the two classes differ here.

    Attributes:
        attribute: "body".
        value, other_value: what the generator says of it for the explained class, and for the other.
        phrase, other_phrase: the same in words.
        known: whether the place of what it is about is known (a part of the data set), or where its words point.
        fall: of the one class's score less the other's, when that place is blurred away; None where there is none.
        elsewhere: the same where as much is blurred elsewhere, on average.
        holds: whether the picture bears it out: the score falls, and by more than elsewhere.
    """

    attribute: str
    value: str
    other_value: str
    phrase: str
    other_phrase: str
    known: bool
    fall: float | None
    elsewhere: float | None
    holds: bool


@dataclass(frozen=True, eq=False)
class WhyNot:
    """Why the explained class and not another.

    Attributes:
        label, other: the two classes.
        other_sentence: what would be said if it were the other.
        margin: f(x) of the one less that of the other.
        heatmap: relevance of the margin, (H, W).
        differences: what sets them apart, that which the picture bears out first.
        counterfactual: what would have to be otherwise; None where the picture bears out nothing.
        remark: why nothing is said, where nothing is.
    """

    label: str
    other: str
    other_sentence: str | None
    margin: float
    heatmap: Array
    differences: Sequence[Difference]
    counterfactual: str | None
    remark: str | None = None

    def as_dict(self) -> dict[str, object]:
        """Everything but the heatmap as plain data."""
        own = {key: value for key, value in vars(self).items() if key not in ("heatmap", "differences")}
        return {**own, "differences": [vars(each) for each in self.differences]}
