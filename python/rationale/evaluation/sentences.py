"""Do sentences belong to their pictures? Consistency with its controls, and whether what is claimed is true."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.consistency import consistency
from rationale.explainer.evidence import Evidence
from rationale.explainer.explainer import Explainer
from rationale.explainer.language import Reading

Densities = Sequence[Mapping[str, float]]
Parts = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Said:
    """What a generator said of one picture: its words, their reading if they are of the language, the regions named."""

    tokens: tuple[str, ...]
    reading: Reading | None
    parts: tuple[str, ...] = ()


def say(explainer: Explainer, evidence: Evidence, labels: NDArray[np.int64], *, free: bool = False) -> list[Said]:
    """The best sentence for each picture; with `free` not held to the language and the class."""
    vocabulary, language = explainer.spoken.vocabulary, explainer.spoken.language
    found = []
    for best in explainer.best(evidence, labels, free=free):
        tokens = tuple(vocabulary.decode(best.words))
        reading = language.read(tokens) if language else None
        known = dict.fromkeys(explainer.spoken.lexicon[each] for each in tokens if each in explainer.spoken.lexicon)
        found.append(Said(tokens, reading, reading.parts if reading else tuple(known)))
    return found


def parts_named(said: Sequence[Said]) -> list[tuple[str, ...]]:
    """Parts that each sentence names; none for one that is not of the language, where there is one."""
    return [each.parts for each in said]


def consistencies(named: Parts, densities: Densities) -> NDArray[np.float64]:
    """Consistency of each sentence with its picture's heatmap, (N,); NaN where there is none."""
    found = [consistency(shares, parts) for shares, parts in zip(densities, named, strict=True)]
    return np.array([np.nan if each is None else each for each in found])


def with_the_others(named: Parts, densities: Densities, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean consistency of each sentence with the heatmaps of the other pictures of its class, (N,)."""
    found = np.full(len(named), np.nan)
    for row, parts in enumerate(named):
        others = [int(other) for other in np.flatnonzero(labels == labels[row]) if other != row]
        values = [each for other in others if (each := consistency(densities[other], parts)) is not None]
        found[row] = np.mean(values) if values else np.nan
    return found


def commonest(named: Parts, labels: NDArray[np.int64]) -> list[tuple[str, ...]]:
    """For each picture, the parts that sentences about its class name most often together."""
    usual = {
        int(label): Counter(tuple(named[int(row)]) for row in np.flatnonzero(labels == label)).most_common(1)[0][0]
        for label in np.unique(labels)
    }
    return [usual[int(label)] for label in labels]


def balanced_accuracy(chosen: Sequence[str], true: Sequence[str]) -> float:
    """Mean over the values that occur of the share of their pictures for which they are chosen."""
    right = [[c == t for c, t in zip(chosen, true, strict=True) if t == value] for value in sorted(set(true))]
    return float(np.mean([np.mean(each) for each in right]))


def claims_when_made(said: Sequence[Said], attributes: Sequence[Mapping[str, str]], attribute: str) -> list[bool]:
    """For each sentence that claims something of an attribute, whether it is true."""
    made = [(each.reading.claims, true) for each, true in zip(said, attributes, strict=True) if each.reading]
    return [claims[attribute] == true[attribute] for claims, true in made if attribute in claims]


def all_true(
    said: Sequence[Said], attributes: Sequence[Mapping[str, str]], about: Collection[str] | None = None
) -> list[bool]:
    """For each sentence that claims something (of the attributes `about`, or of any), whether all of it is true."""
    found = []
    for each, true in zip(said, attributes, strict=True):
        claims = each.reading.claims if each.reading else {}
        checked = [claims[name] == true[name] for name in claims if about is None or name in about]
        if checked:
            found.append(all(checked))
    return found
