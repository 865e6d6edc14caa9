"""The language of composed captions: frames that name a class, and phrases that tell what was seen of a part.

A data set brings one (`rationale.captions`); it is kept beside the generator's weights, so that sentences about any
photograph can be read back: which parts they name, what they claim, and whether they are of this language at all.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rationale.errors import DataError
from rationale.explainer.vocabulary import tokens_of

CLASS, CLAIMS = "{class}", "{claims}"


@dataclass(frozen=True)
class Phrase:
    """A noun phrase and what it claims.

    Attributes:
        text: "a long white body".
        subject: what it is about, "body": a sentence says at most one phrase about each.
        claims: attribute → value, {"body": "long", "body_colour": "white"}.
        part: the region it speaks of, or None where it tells what is absent.
    """

    text: str
    subject: str
    claims: Mapping[str, str]
    part: str | None = None

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Its words."""
        return tuple(tokens_of(self.text))


@dataclass(frozen=True)
class Said:
    """A phrase in a sentence, at tokens `start` to `end`."""

    phrase: Phrase
    start: int
    end: int


@dataclass(frozen=True)
class Reading:
    """A sentence of the language, taken apart."""

    frame: int
    label: str
    said: tuple[Said, ...]

    @property
    def parts(self) -> tuple[str, ...]:
        """The regions it names."""
        return tuple(each.phrase.part for each in self.said if each.phrase.part is not None)

    @property
    def claims(self) -> dict[str, str]:
        """All that it claims, attribute → value."""
        return {name: value for each in self.said for name, value in each.phrase.claims.items()}


@dataclass(frozen=True)
class Language:
    """Frames with {class} and {claims}, the noun phrase of each class, and phrases; subjects in the order of telling.

    Several phrases with the same claims are ways of saying the same. A sentence goes on until it tells of `least`
    subjects.
    """

    frames: tuple[str, ...]
    nouns: Mapping[str, str]
    phrases: tuple[Phrase, ...]
    least: int = 1

    def __post_init__(self) -> None:
        """Checks the frames.

        Raises:
            DataError: a frame lacks a place, or two phrases of one text claim different things.
        """
        for frame in self.frames:
            if frame.count(CLASS) != 1 or frame.count(CLAIMS) != 1:
                raise DataError(f"the frame {frame!r} must hold {CLASS} and {CLAIMS} once each")
        for phrases in self._by_tokens.values():
            if len({json.dumps(dict(each.claims), sort_keys=True) for each in phrases}) > 1:
                raise DataError(f"the phrase {phrases[0].text!r} claims different things")

    def check_sayable(self, classes: Sequence[str], words: Collection[str], length: int) -> None:
        """Checks that of each class something can be said in so many words, all of them known.

        Raises:
            DataError: a class has no noun, or nothing can be said of it.
        """
        if lacking := [label for label in classes if label not in self.nouns]:
            raise DataError(f"the language has no noun for the class {lacking[0]!r}; it has {', '.join(self.nouns)}")
        known = [phrase.tokens for phrase in self.phrases if phrase.tokens and set(phrase.tokens) <= set(words)]
        for label in classes:
            around = [self._around[number, label] for number in range(len(self.frames))]
            sayable = [len(before) + len(after) for before, after in around if {*before, *after} <= set(words)]
            if not known or not sayable or min(sayable) + min(map(len, known)) > length:
                raise DataError(
                    f"nothing can be said of the class {label!r}: no frame and phrase of the language has words that "
                    f"are all known, and at most {length}"
                )

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """What can be spoken of, in the order of telling."""
        return tuple(dict.fromkeys(phrase.subject for phrase in self.phrases))

    @cached_property
    def _by_tokens(self) -> dict[tuple[str, ...], list[Phrase]]:
        found: dict[tuple[str, ...], list[Phrase]] = {}
        for phrase in self.phrases:
            found.setdefault(phrase.tokens, []).append(phrase)
        return found

    def ways(self, subject: str, attributes: Mapping[str, str]) -> list[Phrase]:
        """The phrases about a subject that are true of these attributes; none where the language cannot tell them."""
        return [
            phrase
            for phrase in self.phrases
            if phrase.subject == subject and all(attributes.get(name) == value for name, value in phrase.claims.items())
        ]

    def compose(self, frame: int, label: str, phrases: Sequence[Phrase]) -> str:
        """A sentence without capital and full stop; phrases are told in the order of the language.

        Raises:
            DataError: no phrase, two about one subject, or a class without a noun.
        """
        if not phrases:
            raise DataError("a caption needs at least one phrase")
        if label not in self.nouns:
            raise DataError(f"the language has no noun for the class {label!r}; it has {', '.join(self.nouns)}")
        ordered = sorted(phrases, key=lambda phrase: self.subjects.index(phrase.subject))
        if len({phrase.subject for phrase in ordered}) != len(ordered):
            raise DataError(f"two phrases about one subject: {', '.join(phrase.text for phrase in ordered)}")
        texts = [phrase.text for phrase in ordered]
        told = texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
        return self.frames[frame].replace(CLASS, self.nouns[label]).replace(CLAIMS, told)

    def read(self, tokens: Sequence[str]) -> Reading | None:
        """Takes a sentence apart; None where it is not of this language, or tells one subject twice."""
        words = tuple(tokens)
        for number, label in self._frames_with_nouns:
            before, after = self._around[number, label]
            inner = words[len(before) : len(words) - len(after)]
            if words == (*before, *inner, *after) and (said := self._read_list(inner, len(before))) is not None:
                subjects = [each.phrase.subject for each in said]
                return Reading(number, label, said) if len(set(subjects)) == len(subjects) else None
        return None

    @cached_property
    def _frames_with_nouns(self) -> list[tuple[int, str]]:
        return [(number, label) for number in range(len(self.frames)) for label in self.nouns]

    @cached_property
    def _around(self) -> dict[tuple[int, str], tuple[tuple[str, ...], tuple[str, ...]]]:
        """Words before and after the claims, by frame and class."""
        found = {}
        for number, label in self._frames_with_nouns:
            before, _, after = self.frames[number].replace(CLASS, self.nouns[label]).partition(CLAIMS)
            found[number, label] = (tuple(tokens_of(before)), tuple(tokens_of(after)))
        return found

    def before(self, frame: int, label: str) -> tuple[str, ...]:
        """The words of a frame that come before what is claimed of a class."""
        return self._around[frame, label][0]

    def _read_list(self, words: tuple[str, ...], start: int) -> tuple[Said, ...] | None:
        """Phrases joined by commas and one "and" before the last."""
        for length in range(len(words), 0, -1):
            for phrase in self._by_tokens.get(words[:length], ())[:1]:
                said = Said(phrase, start, start + length)
                rest = words[length:]
                if not rest:
                    return (said,)
                more = self._read_list(rest[1:], start + length + 1)
                joint_fits = more is not None and rest[0] == ("and" if len(more) == 1 else ",")
                if more is not None and joint_fits:
                    return (said, *more)
        return None

    def next_words(self, tokens: Sequence[str], label: str) -> frozenset[str]:
        """The words that can follow in a sentence of this language about a class; "" stands for its end.

        A sentence tells of each subject once at most.
        """
        key = (label, *tokens)
        if key not in self._next:
            frames = range(len(self.frames))
            self._next[key] = frozenset(word for each in frames for word in self._next_in(key[1:], each, label))
        return self._next[key]

    @cached_property
    def _next(self) -> dict[tuple[str, ...], frozenset[str]]:
        """What `next_words` found before."""
        return {}

    def _next_in(self, begun: tuple[str, ...], frame: int, label: str) -> set[str]:
        before, after = self._around[frame, label]
        if len(begun) < len(before):
            return {before[len(begun)]} if before[: len(begun)] == begun else set()
        if begun[: len(before)] != before:
            return set()
        return self._next_in_list(begun[len(before) :], after, frozenset(), last=False)

    def _next_in_list(
        self, rest: tuple[str, ...], after: tuple[str, ...], told: frozenset[str], *, last: bool
    ) -> set[str]:
        """Words that can follow `rest`, which begins with a phrase; `last` if "and" stood before it."""
        found = set()
        for phrase in self.phrases:
            if phrase.subject in told:
                continue
            length = len(phrase.tokens)
            if len(rest) < length:
                if phrase.tokens[: len(rest)] == rest:
                    found.add(phrase.tokens[len(rest)])
            elif rest[:length] == phrase.tokens:
                known = told | {phrase.subject}
                found |= self._after_phrase(rest[length:], after, known, last=last)
        return found

    def _after_phrase(
        self, rest: tuple[str, ...], after: tuple[str, ...], told: frozenset[str], *, last: bool
    ) -> set[str]:
        found = set()
        enough = len(told) >= self.least
        if enough and (last or len(told) == 1) and after[: len(rest)] == rest:
            found.add(after[len(rest)] if len(rest) < len(after) else "")
        if last or len(told) == len(self.subjects):
            return found
        if not rest:
            most, least = len(told) + 1 < len(self.subjects), len(told) + 1 >= self.least
            return found | ({","} if most else set()) | ({"and"} if least else set())
        if rest[0] in (",", "and"):
            found |= self._next_in_list(rest[1:], after, told, last=rest[0] == "and")
        return found

    def label_of(self, tokens: Sequence[str]) -> str | None:
        """The class whose noun a sentence holds; None where it holds none, or several."""
        text = f" {' '.join(tokens)} "
        found = [label for label, noun in self.nouns.items() if f" {' '.join(tokens_of(noun))} " in text]
        return found[0] if len(found) == 1 else None

    @cached_property
    def class_words(self) -> dict[str, frozenset[str]]:
        """Words of each class's noun that no other class's has, and no phrase or frame: what names the class."""
        nouns = {label: set(tokens_of(noun)) for label, noun in self.nouns.items()}
        common = {word for text in (*self.frames, *(each.text for each in self.phrases)) for word in tokens_of(text)}
        return {
            label: frozenset(words - common - set().union(*(nouns[other] for other in nouns if other != label)))
            for label, words in nouns.items()
        }

    @cached_property
    def spelling(self) -> dict[str, str]:
        """Words that are not written in lower case, "t-tail": "T-tail"."""
        texts = (*self.frames, *self.nouns.values(), *(phrase.text for phrase in self.phrases))
        words = [word for text in texts for word in text.replace(CLASS, "").replace(CLAIMS, "").split()]
        return {word.lower(): word for word in words if word != word.lower()}

    def alternatives(self, subject: str, begun: Sequence[str]) -> dict[str, frozenset[tuple[str, str]]]:
        """How a phrase about a subject can go on: the next word → the claims that it leaves possible."""
        length = len(begun)
        found: dict[str, set[tuple[str, str]]] = {}
        for phrase in self.phrases:
            if phrase.subject == subject and phrase.tokens[:length] == tuple(begun) and len(phrase.tokens) > length:
                found.setdefault(phrase.tokens[length], set()).update(phrase.claims.items())
        return {word: frozenset(claims) for word, claims in found.items()}

    def is_about_one(self, begun: Sequence[str]) -> bool:
        """Whether all phrases that begin so are about the same."""
        start = tuple(begun)
        return len({each.subject for each in self.phrases if each.tokens[: len(start)] == start}) == 1

    def values(self, attribute: str) -> tuple[str, ...]:
        """The values of an attribute that can be told."""
        return tuple(dict.fromkeys(each.claims[attribute] for each in self.phrases if attribute in each.claims))

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {
            "frames": list(self.frames),
            "nouns": dict(self.nouns),
            "phrases": [
                {"text": each.text, "subject": each.subject, "claims": dict(each.claims), "part": each.part}
                for each in self.phrases
            ],
        }
