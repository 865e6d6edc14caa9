"""How aircraft are spoken of: the language of data/flight's attributes, and the regions that its phrases mean."""

from collections.abc import Mapping

import numpy as np

from rationale.datasets.dataset import Mask
from rationale.datasets.flight import hull
from rationale.explainer.language import Language, Phrase

FRAMES = (
    "this is {class} because it has {claims}",
    "this is {class} with {claims}",
    "it has {claims}, so this is {class}",
    "with {claims}, this is {class}",
    "the aircraft is {class}: it has {claims}",
)
NOUNS = {"airliner": "an airliner", "small": "a small aircraft"}

_LENGTHS = ("long", "short")
_COLOURS = {
    **{name: name for name in ("white", "grey", "blue", "green", "black", "brown", "red", "orange", "yellow")},
    "silver": "silver",
    "multi": "multicoloured",
}
_BODIES = ("body", "fuselage")
_TAILS = {"conventional": "tail", "t_tail": "T-tail", "twin": "twin tail"}
_WINDOWS = {
    "multiple": ("rows of windows", "many windows", "multiple windows"),
    "few": ("few windows", "only a few windows"),
}
_WINGS = {
    "low": ("low wings", "wings set low"),
    "high": ("high wings", "wings set high"),
    "mid": ("wings set halfway up",),
    "biplane": ("two pairs of wings",),
    "triplane": ("three pairs of wings",),
}
_ENGINES = {
    "under_wing": ("engines under its wings", "engines below its wings"),
    "rear": ("engines at its tail", "engines beside its tail"),
    "wing_propellers": ("propellers on its wings", "wing-mounted propellers"),
    "nose_propeller": ("one propeller on its nose", "one propeller in front"),
    "wing_and_tail": ("engines on both wings and tail",),
    "wing_root": ("engines in the roots of its wings",),
}
_WHEELS = ("protruding wheels", "wheels that are out")
_ABSENT = {
    "windows": ("none", ("no windows",)),
    "engines": ("not_visible", ("engines out of sight",)),
    "wheels": ("not_protruded", ("wheels not protruded", "wheels that are not out")),
}


def flight_language() -> Language:
    """Frames, nouns and phrases for aircraft.

    A word that begins phrases about one thing begins none about another, unless it tells no value ("a" of body and
    tail): the generator can then learn what is true of a part without learning to speak of that part.
    """
    phrases = [
        Phrase(f"a {length} {text} {body}", "body", {"body": length, "body_colour": colour}, "body")
        for body in _BODIES
        for length in _LENGTHS
        for colour, text in _COLOURS.items()
    ]
    phrases += [
        Phrase(_tail(text, tail), "tail", {"tail": shape, "tail_colour": colour}, "tail")
        for shape, tail in _TAILS.items()
        for colour, text in _COLOURS.items()
    ]
    for subject, table in (
        ("windows", _WINDOWS),
        ("wing", _WINGS),
        ("engines", _ENGINES),
        ("wheels", {"protruded": _WHEELS}),
    ):
        phrases += [
            Phrase(text, subject, {subject: value}, subject) for value, texts in table.items() for text in texts
        ]
        if subject in _ABSENT:
            value, texts = _ABSENT[subject]
            phrases += [Phrase(text, subject, {subject: value}) for text in texts]
    return Language(FRAMES, NOUNS, tuple(phrases))


def _tail(colour: str, tail: str) -> str:
    return f"a {tail} in {colour}" if colour[0] in "aeiou" else f"a {colour} {tail}"


def flight_regions(parts: Mapping[str, Mask]) -> dict[str, Mask]:
    """Regions of what is spoken of, bool (H, W).

    The body is the hull of nose, windows and fin without the parts that lie on it; the tail is the fin.
    """
    others = {name: parts[name] for name in ("windows", "wing", "engines", "wheels") if name in parts}
    fuselage = [parts[name] for name in ("nose", "windows", "fin") if name in parts]
    tail = {"tail": parts["fin"]} if "fin" in parts else {}
    covered = [*others.values(), *tail.values()]
    if not fuselage:
        return {**tail, **others}
    body = hull({str(number): mask for number, mask in enumerate(fuselage)})
    body = body & ~np.logical_or.reduce(covered) if covered else body
    return {"body": body, **tail, **others}
