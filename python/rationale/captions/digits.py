"""How handwritten digits are spoken of: the language of what `datasets.strokes` measures."""

from collections.abc import Mapping

from rationale.datasets.dataset import Mask
from rationale.explainer.language import Language, Phrase

FRAMES = (
    "this is {class} because it has {claims}",
    "this is {class} with {claims}",
    "it has {claims}, so this is {class}",
    "with {claims}, this is {class}",
    "the digit is {class}: it has {claims}",
)
NOUNS = {str(digit): f"{'an' if digit == 8 else 'a'} {digit}" for digit in range(10)}

_LOOPS = {
    "two": ("two loops that meet in the middle", "two closed loops"),
    "top": ("a closed loop at the top", "a closed loop above"),
    "bottom": ("a closed loop at the bottom", "a closed loop below"),
    "large": ("a closed loop all around", "one large closed loop"),
}
_ENDS = {
    "1": ("only one open end", "just one open end"),
    "2": ("open ends at two places", "a pair of open ends"),
    "more": ("open ends at three or more places", "several open ends"),
}
_BARS = {
    "top": ("a straight bar across the top",),
    "middle": ("a straight bar across the middle",),
    "bottom": ("a straight bar across the bottom",),
}
_STEMS = {
    "left": ("a straight stroke down the left side",),
    "middle": ("a straight stroke down the middle",),
    "right": ("a straight stroke down the right side",),
}
_MEETINGS = {
    "1": ("strokes that meet at one place",),
    "more": ("strokes that meet at several places",),
}
_SLANTS = {"left": ("a shape that leans to the left",), "right": ("a shape that leans to the right",)}
_ABSENT = (
    ("loops", "none", "no closed loop"),
    ("ends", "0", "no open end"),
    ("slant", "none", "a shape that does not lean"),
)
_CLOSED = "an enclosed space"  # whatever loops there are, where their number or place would be a guess


def digit_language() -> Language:
    """Frames, nouns and phrases for digits; what is told of the whole shape has the ink as its region."""
    tables: dict[str, Mapping[str, tuple[str, ...]]] = {
        "loops": _LOOPS, "bar": _BARS, "stem": _STEMS, "ends": _ENDS, "meeting": _MEETINGS, "slant": _SLANTS,
    }  # fmt: skip
    phrases = [
        Phrase(text, subject, _claims(subject, value, "yes"), "whole" if subject == "slant" else subject)
        for subject, table in tables.items()
        for value, texts in table.items()
        for text in texts
    ]
    phrases.append(Phrase(_CLOSED, "loops", {"closed": "yes"}, "loops"))
    phrases += [Phrase(text, subject, _claims(subject, value, "no")) for subject, value, text in _ABSENT]
    return Language(FRAMES, NOUNS, tuple(phrases))


def _claims(subject: str, value: str, there: str) -> dict[str, str]:
    return {subject: value, **({"closed": there} if subject == "loops" else {})}


def digit_regions(parts: Mapping[str, Mask]) -> dict[str, Mask]:
    """The measured parts are what is spoken of."""
    return dict(parts)
