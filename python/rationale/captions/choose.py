"""Which phrases a caption holds: those about the parts that carried most relevance, and what is absent."""

from collections.abc import Mapping, Sequence

import numpy as np

from rationale.captions.files import Caption
from rationale.explainer.language import Language, Phrase

PARTS = 3  # named in a caption
ABSENCES = 1  # told besides, at most


def sayable(language: Language, attributes: Mapping[str, str], densities: Mapping[str, float]) -> list[str]:
    """The subjects whose part is seen and of which the language can tell what is true."""
    return [
        subject
        for subject in language.subjects
        if any(phrase.part in densities for phrase in language.ways(subject, attributes) if phrase.part)
    ]


def absent(language: Language, attributes: Mapping[str, str]) -> list[str]:
    """The subjects that are not there, and of which that can be told."""
    return [
        subject
        for subject in language.subjects
        if any(phrase.part is None for phrase in language.ways(subject, attributes))
    ]


def chosen_by_heatmap(
    language: Language, attributes: Mapping[str, str], densities: Mapping[str, float], count: int = PARTS
) -> list[str]:
    """The subjects of a picture's caption: the parts with the densest relevance, and what is absent."""
    seen = sayable(language, attributes, densities)

    def density(subject: str) -> float:
        parts = {way.part for way in language.ways(subject, attributes)}
        return max(densities[part] for part in parts if part is not None and part in densities)

    return sorted(seen, key=density, reverse=True)[:count] + absent(language, attributes)[:ABSENCES]


def chosen_at_random(
    language: Language,
    attributes: Mapping[str, str],
    densities: Mapping[str, float],
    random: np.random.Generator,
    count: int = PARTS,
) -> list[str]:
    """As many subjects, the parts drawn by lot: what a caption that knows nothing of the heatmap holds."""
    seen = sayable(language, attributes, densities)
    drawn = random.permutation(len(seen))[:count]
    return [seen[number] for number in drawn] + absent(language, attributes)[:ABSENCES]


def phrasings(
    language: Language, label: str, attributes: Mapping[str, str], subjects: Sequence[str]
) -> list[tuple[str, list[Phrase]]]:
    """The same said in each of the language's frames, with other ways of saying each phrase."""
    found = []
    for frame in range(len(language.frames)):
        phrases = []
        for subject in subjects:
            ways = language.ways(subject, attributes)
            phrases.append(ways[frame % len(ways)])
        found.append((language.compose(frame, label, phrases), phrases))
    return found


def captions_of(
    language: Language,
    number: str,
    label: str,
    attributes: Mapping[str, str],
    densities: Mapping[str, float],
    subjects: Sequence[str],
    most: int = 5,
    turn: int = 0,
) -> list[Caption]:
    """So many phrasings of a picture's caption, the frames by turns; none where nothing can be said of it."""
    if not subjects:
        return []
    ordered = [subject for subject in language.subjects if subject in subjects]
    every = [text for text, _ in phrasings(language, label, attributes, ordered)]
    chosen = dict.fromkeys((most * turn + each) % len(every) for each in range(min(most, len(every))))
    return [Caption(number, label, every[frame], tuple(ordered), dict(densities)) for frame in sorted(chosen)]
