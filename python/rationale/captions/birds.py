"""Which of people's captions of a bird belong to its heatmap: by the parts that their words mean.

Captions are people's own (Reed et al. 2016), ten of a photograph; a lexicon, data/cub/lexicon.csv, leads from words to
CUB's 15 parts. What is not in it (body, feathers, rump, cheek, …) means no part, and so has no say in the choice.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rationale.captions.files import Caption
from rationale.consistency import consistency
from rationale.datasets.dataset import Mask
from rationale.errors import DataError, OutputError
from rationale.explainer.vocabulary import is_content, tokens_of
from rationale.resources import shared_directory, write_whole

PARTS = (
    "back", "beak", "belly", "breast", "crown", "forehead", "left eye", "left leg", "left wing", "nape", "right eye",
    "right leg", "right wing", "tail", "throat",
)  # fmt: skip
KEPT = 5  # captions of a photograph, of ten
LONGEST = 29  # words

Lexicon = Mapping[str, str]


def lexicon_path() -> Path:
    """The lexicon that comes with the project."""
    return shared_directory("data") / "cub" / "lexicon.csv"


def read_lexicon(path: Path, parts: Sequence[str] = PARTS) -> dict[str, str]:
    """Word → the parts that it means, joined by +, which is also the name of their region.

    Raises:
        DataError: it cannot be read, is not UTF-8, empty, or a line lacks a word or names a part that does not exist.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: is not UTF-8; save it as UTF-8") from error
    rows = csv.DictReader(text.splitlines())
    if list(rows.fieldnames or []) != ["word", "parts"]:
        raise DataError(f"{path}: {'is empty' if not rows.fieldnames else 'must begin with the line “word,parts”'}")
    found: dict[str, str] = {}
    for row in rows:
        word, named = (row["word"] or "").strip(), (row["parts"] or "").strip()
        if tokens_of(word) != [word]:
            raise DataError(f"{path}, line {rows.line_num}: {word!r} is no single word in lower case")
        if word in found:
            raise DataError(f"{path}, line {rows.line_num}: {word!r} is there twice")
        wrong = [each for each in named.split("+") if each not in parts]
        if wrong or None in row:
            what = wrong[0] if wrong else ",".join(row[None])
            raise DataError(f"{path}, line {rows.line_num}: there is no part {what!r}; there are {', '.join(parts)}")
        found[word] = named
    if not found:
        raise DataError(f"{path}: holds no word")
    return found


def bird_regions(lexicon: Lexicon) -> Callable[[Mapping[str, Mask]], dict[str, Mask]]:
    """What makes the regions of words, bool (H, W): the discs of their parts that are seen, together."""

    def regions(parts: Mapping[str, Mask]) -> dict[str, Mask]:
        found = {}
        for name in dict.fromkeys(lexicon.values()):
            seen = [parts[each] for each in name.split("+") if each in parts]
            if seen:
                found[name] = np.logical_or.reduce(seen)
        return found

    return regions


def parts_of(lexicon: Lexicon, tokens: Iterable[str]) -> list[str]:
    """The regions that the words name, each once."""
    return list(dict.fromkeys(lexicon[token] for token in tokens if token in lexicon))


def chosen_captions(
    lexicon: Lexicon, number: str, label: str, texts: Sequence[str], densities: Mapping[str, float]
) -> list[Caption]:
    """Of a photograph's captions those that speak of what carried relevance, weighted; at least one where any fits.

    A caption's weight is the square of its consistency: how probably a part that it mentions carries denser relevance
    than one that it does not. Captions that mention no part that is seen come in only where too few others are there.
    """
    usable = [text for text in texts if 0 < len(tokens_of(text)) <= LONGEST]
    scored = []
    for text in usable:
        named = parts_of(lexicon, tokens_of(text))
        value = consistency(densities, named)
        scored.append((0.0 if value is None else value**2, text, named))
    scored.sort(key=lambda each: -each[0])
    return [
        Caption(number, label, _clean(text), tuple(_subjects(named)), dict(densities), weight=max(weight, 0.05))
        for weight, text, named in scored[:KEPT]
    ]


def unchosen_captions(
    lexicon: Lexicon, number: str, label: str, texts: Sequence[str], densities: Mapping[str, float],
    random: np.random.Generator,
) -> list[Caption]:  # fmt: skip
    """As many captions drawn by lot, all of one weight."""
    usable = [text for text in texts if 0 < len(tokens_of(text)) <= LONGEST]
    drawn = sorted(random.permutation(len(usable))[:KEPT].tolist())
    found = []
    for place in drawn:
        named = tuple(_subjects(parts_of(lexicon, tokens_of(usable[place]))))
        found.append(Caption(number, label, _clean(usable[place]), named, dict(densities)))
    return found


def _subjects(regions: Iterable[str]) -> list[str]:
    """The parts of some regions, each once."""
    return list(dict.fromkeys(part for region in regions for part in region.split("+")))


def _clean(text: str) -> str:
    """The caption as its words, so that it is one printable line."""
    return " ".join(tokens_of(text))


@dataclass(frozen=True)
class Coverage:
    """How much of captions a lexicon understands.

    Attributes:
        captions: their number.
        with_part: those with a word that means a part.
        parts: captions that mention each region.
        left_out: the commonest content words that mean none, with the captions that hold them.
    """

    captions: int
    with_part: int
    parts: Mapping[str, int]
    left_out: Sequence[tuple[str, int]]


def coverage(lexicon: Lexicon, texts: Iterable[str], most: int = 60) -> Coverage:
    """Counts captions, words and parts."""
    total = with_part = 0
    parts: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for text in texts:
        tokens = set(tokens_of(text))
        named = parts_of(lexicon, sorted(tokens))
        total, with_part = total + 1, with_part + bool(named)
        parts.update(named)
        others.update(token for token in tokens if token not in lexicon and is_content(token))
    return Coverage(total, with_part, dict(parts.most_common()), others.most_common(most))


def write_coverage(path: Path, found: Coverage) -> None:
    """Writes CSV: captions that name each region, and the commonest words that name none.

    Raises:
        OutputError: it cannot be written.
    """
    lines = ["what,captions", f"all captions,{found.captions}", f"captions that name a part,{found.with_part}"]
    lines += [f"part: {name},{count}" for name, count in found.parts.items()]
    lines += [f"left out: {word},{count}" for word, count in found.left_out]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, "\n".join(lines) + "\n")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
