"""The generator at work: evidence for a class in, sentences with what they claim out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from rationale.errors import DataError
from rationale.explainer.belief import believed, value_shares
from rationale.explainer.decoding import Decoded, beams
from rationale.explainer.evidence import Evidence
from rationale.explainer.language import Language, Reading
from rationale.explainer.speaker import VARIANTS, NetworkSpeaker
from rationale.explainer.utterance import Utterance, WordStart
from rationale.explainer.vocabulary import END, Vocabulary, is_content, sentence_of
from rationale.fetching.digest import file_digest
from rationale.network import SequenceNetwork
from rationale.resources import as_json, write_whole

_AT_ONCE = 100  # pictures of which sentences are searched in step
Labels = Sequence[int] | NDArray[np.int64]  # classes that are explained


@dataclass(frozen=True)
class Spoken:
    """What a generator's weights do not say: its words, its language, its classes, and which of the five it is.

    Attributes:
        vocabulary: words and their numbers.
        language: that sentences are held to, or None.
        classes: labels, in the order of their numbers.
        variant: one of `speaker.VARIANTS`.
        length: of the longest sentence, in words.
        weights: first digits of the SHA-256 of the weights that speak these words.
        lexicon: word → region, where words are people's own and not of a language.
    """

    vocabulary: Vocabulary
    language: Language | None
    classes: tuple[str, ...]
    variant: str
    length: int
    weights: str = ""
    lexicon: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that something can be said of each class.

        Raises:
            DataError: it cannot.
        """
        if self.variant not in VARIANTS:
            raise DataError(f"no generator is named {self.variant!r}; there are {', '.join(VARIANTS)}")
        if self.language is not None:
            self.language.check_sayable(self.classes, frozenset(self.vocabulary.words), self.length)


@dataclass(frozen=True)
class _File:
    """explainer.json."""

    variant: str
    length: Annotated[int, msgspec.Meta(ge=1, le=1000)]
    classes: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    vocabulary: tuple[str, ...]
    language: Language | None
    weights: str
    lexicon: dict[str, str] = field(default_factory=dict)


def write_spoken(path: Path, spoken: Spoken) -> None:
    """Writes explainer.json in one step."""
    content = {
        "variant": spoken.variant,
        "length": spoken.length,
        "classes": list(spoken.classes),
        "weights": spoken.weights,
        "vocabulary": list(spoken.vocabulary.words),
        "language": spoken.language.as_dict() if spoken.language else None,
        **({"lexicon": dict(spoken.lexicon)} if spoken.lexicon else {}),
    }
    write_whole(path, as_json(content, indent=1) + "\n")


def read_spoken(path: Path) -> Spoken:
    """What `write_spoken` wrote.

    Raises:
        DataError: it is not there, damaged, lacks something, or lets nothing be said of a class.
    """
    try:
        known = msgspec.json.decode(path.read_bytes(), type=_File)
        return Spoken(
            Vocabulary(known.vocabulary),
            known.language,
            known.classes,
            known.variant,
            known.length,
            known.weights,
            known.lexicon,
        )
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}); `rationale train explainer` writes it") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def weights_digest(weights: Path) -> str:
    """What explainer.json says of the weights that belong to it."""
    return file_digest(weights)[:12]


@dataclass(frozen=True)
class Mention:
    """A phrase in a sentence.

    Attributes:
        text: "a row of windows".
        start, end: its place in the sentence's text, in characters.
        part: the region that it names, or None where it tells what is absent.
        claims: attribute → value.
    """

    text: str
    start: int
    end: int
    part: str | None
    claims: Mapping[str, str]


@dataclass(frozen=True)
class Sentence:
    """Something to say about a picture.

    Attributes:
        text: with its capital and full stop.
        words: as the generator said them.
        log_probability: of these words, their end included, in nats.
        mentions: phrases of the language in it, in order.
        places: where each word stands in the text, (start, end) in characters.
    """

    text: str
    words: tuple[str, ...]
    log_probability: float
    mentions: tuple[Mention, ...] = ()
    places: tuple[tuple[int, int], ...] = ()

    @property
    def probability(self) -> float:
        """Of exactly these words."""
        return float(np.exp(self.log_probability))

    @property
    def parts(self) -> tuple[str, ...]:
        """The regions that it names."""
        return tuple(mention.part for mention in self.mentions if mention.part is not None)

    def as_dict(self) -> dict[str, object]:
        """Plain data, for JSON."""
        return {
            "text": self.text,
            "probability": self.probability,
            "log_probability": self.log_probability,
            "mentions": [{**vars(mention), "claims": dict(mention.claims)} for mention in self.mentions],
        }


class Explainer:
    """Says why a picture is of a class."""

    def __init__(
        self, speaker: NetworkSpeaker, spoken: Spoken, *, width: int = 5, sure: float = 0.9, belief: float = 0.0
    ) -> None:
        self.speaker = speaker
        self.spoken = spoken
        self.width = width
        self.sure = sure
        self.belief = belief
        language = spoken.language
        if language is not None:  # a phrase with a word that was too rare to be learnt cannot be said to its end
            known = [each for each in language.phrases if all(word in spoken.vocabulary for word in each.tokens)]
            language = replace(language, phrases=tuple(known))
        self._speakable = language
        self._languages: dict[tuple[str, ...], Language] = {}

    @classmethod
    def load(
        cls,
        step: Path,
        weights: Path,
        spoken: Path,
        *,
        width: int = 5,
        sure: float = 0.9,
        belief: float = 0.0,
        gpu: int | None = None,
    ) -> "Explainer":
        """Reads the one-step network, its weights, and explainer.json.

        Raises:
            DataError: explainer.json is missing, damaged, or does not fit the network.
            NetworkError: network or weights are missing or damaged, or do not fit each other.
        """
        known = read_spoken(spoken)
        network = SequenceNetwork.load(step, weights, gpu=gpu)
        words, classes = network.parameters("embedding")[0].shape[0], network.size("label", 1)
        if words != len(known.vocabulary):
            raise DataError(f"{spoken}: has {len(known.vocabulary)} words, the network in {step} {words}")
        if classes != len(known.classes):
            raise DataError(f"{spoken}: has {len(known.classes)} classes, the network in {step} {classes}")
        if known.weights != weights_digest(weights):
            raise DataError(f"{spoken}: belongs to other weights than {weights}; their words have other numbers")
        return cls(NetworkSpeaker(network), known, width=width, sure=sure, belief=belief)

    def sentences(
        self,
        evidence: Evidence,
        labels: Sequence[int],
        probabilities: Sequence[Sequence[tuple[int, float]]],
        count: int = 3,
    ) -> list[list[Sentence]]:
        """The best sentences for each picture, the best first.

        Args:
            evidence: for the class that is explained, of N pictures.
            labels: that class, (N,).
            probabilities: class and probability of each picture, most probable first.
            count: sentences for each picture, at most.
        """
        both = zip(self.decoded(evidence, labels, count), labels, probabilities, strict=True)
        return [[self.sentence(each, int(label), known) for each in decoded] for decoded, label, known in both]

    def best(self, evidence: Evidence, labels: Labels, *, free: bool = False) -> list[Decoded]:
        """The best sentence about each picture; arguments as in `decoded`."""
        starts = range(0, len(labels), _AT_ONCE)
        parts = [slice(start, start + _AT_ONCE) for start in starts]
        return [best for part in parts for (best,) in self.decoded(evidence[part], labels[part], free=free)]

    def decoded(self, evidence: Evidence, labels: Labels, count: int = 1, *, free: bool = False) -> list[list[Decoded]]:
        """The best sentences about each picture: of the language, if there is one, naming the class, and believed.

        Args:
            evidence: of N pictures.
            labels: the class that is explained, (N,).
            count: sentences for each picture, at most.
            free: any words may come.
        """
        language = None if free else self._speakable
        if language is None or not self.belief:
            return self._said(evidence, labels, [language] * len(labels), count)
        shares = self.value_shares(evidence, labels)
        first = [best for (best,) in self._said(evidence, labels, [language] * len(labels), 1)]
        held = [self._believed(language, shares, row, each) for row, each in enumerate(first)]
        return self._said(evidence, labels, held, count)

    def _said(
        self, evidence: Evidence, labels: Labels, languages: Sequence[Language | None], count: int
    ) -> list[list[Decoded]]:
        """The best sentences about each picture in a language of its own."""
        allowed = [
            None if language is None else partial(self._allowed, language, int(label))
            for language, label in zip(languages, labels, strict=True)
        ]
        begun = self.speaker.begin(evidence, np.asarray(labels, np.int64), self.spoken.variant)
        return beams(self.speaker, begun, allowed, self.spoken.length, width=max(self.width, count), count=count)

    def _believed(
        self, language: Language, shares: Mapping[str, Mapping[str, NDArray[np.float64]]], row: int, first: Decoded
    ) -> Language:
        """What may be said of the subjects of a first sentence about a picture.

        The same languages come again and again, and know what they found before.
        """
        reading = language.read(self.spoken.vocabulary.decode(first.words))
        subjects = {each.phrase.subject for each in reading.said} if reading else language.subjects
        held = believed(language, shares, row, self.belief, subjects)
        if len(held.subjects) < 2:  # rather something else than next to nothing
            held = believed(language, shares, row, self.belief, language.subjects)
        return self._languages.setdefault(tuple(phrase.text for phrase in held.phrases), held)

    def value_shares(
        self, evidence: Evidence, labels: Labels, frame: int = 0
    ) -> Mapping[str, Mapping[str, NDArray[np.float64]]]:
        """How probable each value of each attribute is that can be told, (N,): see `belief.value_shares`."""
        assert self._speakable is not None
        spoken, numbers = self.spoken, np.asarray(labels, np.int64)
        return value_shares(
            self.speaker, spoken.vocabulary, self._speakable, spoken.classes, evidence, numbers, spoken.variant, frame
        )

    def _allowed(self, language: Language, label: int, words: tuple[int, ...]) -> list[int]:
        vocabulary = self.spoken.vocabulary
        following = language.next_words(vocabulary.decode(words), self.spoken.classes[label])
        known = [word for word in following if word == "" or word in vocabulary]
        return [END if word == "" else vocabulary.encode([word])[0] for word in known]

    def sentence(self, decoded: Decoded, label: int, probabilities: Sequence[tuple[int, float]]) -> Sentence:
        """A decoded sentence as people read it, with its doubts.

        Args:
            decoded: the words.
            label: the class that is explained.
            probabilities: class and probability, most probable first.
        """
        language = self.spoken.language
        tokens = self.spoken.vocabulary.decode(decoded.words)
        if language is None and self.spoken.lexicon:
            return self._in_own_words(tokens, decoded.log_probability, label, probabilities)
        reading = language.read(tokens) if language is not None else None
        as_said = pieces = _pieces(tokens, reading)
        best, probability = probabilities[0]
        if label != best:
            pieces = _with("would be", pieces)
        elif probability < self.sure:
            pieces = _with("is probably", pieces)
        text, mentions = _joined(pieces, language.spelling if language else {}, reading)
        if label == best and probability < self.sure and len(probabilities) > 1:
            rival = self.spoken.classes[probabilities[1][0]]
            text = f"{text[:-1]}; it could also be {language.nouns[rival] if language else rival}."
        places = _places(as_said, pieces, language.spelling if language else {})
        return Sentence(text, tuple(tokens), decoded.log_probability, mentions, places)

    def _in_own_words(
        self, tokens: list[str], log_probability: float, label: int, probabilities: Sequence[tuple[int, float]]
    ) -> Sentence:
        """People's own words say nothing of the class: it is put before them; the lexicon tells what words mean."""
        best, probability = probabilities[0]
        sure = label != best or probability >= self.sure
        verb = "would be" if label != best else "is" if sure else "is probably"
        before = f"This {verb} {with_article(self.spoken.classes[label])}: "
        own = sentence_of(tokens)
        text = before + own[:1].lower() + own[1:]
        places, mentions, said = [], [], []
        for token in tokens:
            said.append(token)
            end = len(before) + len(sentence_of(said)) - 1
            places.append((end - len(token), end))
            if token in self.spoken.lexicon:
                mentions.append(Mention(token, end - len(token), end, self.spoken.lexicon[token], {}))
        if not sure and len(probabilities) > 1:
            text = f"{text[:-1]}; it could also be {with_article(self.spoken.classes[probabilities[1][0]])}."
        return Sentence(text, tuple(tokens), log_probability, tuple(mentions), tuple(places))

    def utterance(self, evidence: Evidence, label: int, words: Sequence[str]) -> Utterance:
        """A sentence about one picture, to be asked why it has these words."""
        numbers = self.spoken.vocabulary.encode(words)
        return Utterance(self.speaker.network, evidence, label, numbers, self.spoken.variant)

    def starts(self, utterance: Utterance, label: int) -> list[WordStart]:
        """Every word by itself, then each content word against the most probable other one that could stand there."""
        vocabulary = self.spoken.vocabulary
        found = [WordStart(step, word) for step, word in enumerate(utterance.words)]
        for step, word in enumerate(utterance.words):
            if is_content(vocabulary.words[word]):
                known = range(len(vocabulary))
                following = (
                    known if self._speakable is None else self._allowed(self._speakable, label, utterance.words[:step])
                )
                others = [each for each in following if each != word and is_content(vocabulary.words[each])]
                if others:
                    logs = utterance.log_probabilities[step]
                    found.append(WordStart(step, word, max(others, key=lambda each: float(logs[each]))))
        return found


def with_article(noun: str) -> str:
    """A noun behind “a” or “an”."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _pieces(tokens: Sequence[str], reading: Reading | None) -> list[list[str]]:
    """The tokens, those of each phrase together."""
    starts = {said.start: said.end for said in reading.said} if reading else {}
    pieces, at = [], 0
    while at < len(tokens):
        end = starts.get(at, at + 1)
        pieces.append(list(tokens[at:end]))
        at = end
    return pieces


def _with(verb: str, pieces: list[list[str]]) -> list[list[str]]:
    """The sentence with another verb for its first "is" that stands outside of a phrase."""
    at = next((number for number, piece in enumerate(pieces) if piece == ["is"]), None)
    return pieces if at is None else [*pieces[:at], verb.split(), *pieces[at + 1 :]]


def _places(
    as_said: list[list[str]], pieces: list[list[str]], spelling: Mapping[str, str]
) -> tuple[tuple[int, int], ...]:
    """Where each word as it was said stands in the text; one that became several covers them all."""
    found = []
    before: list[str] = []
    for own, written in zip(as_said, pieces, strict=True):
        steps = [[each] for each in written] if len(own) == len(written) else [written]
        for words in steps:
            after = [*before, *words]
            end = len(sentence_of(after, spelling)) - 1
            found.append((end - len(" ".join(words)), end))
            before = after
    return tuple(found)


def _joined(
    pieces: list[list[str]], spelling: Mapping[str, str], reading: Reading | None
) -> tuple[str, tuple[Mention, ...]]:
    """Text, and where the phrases stand in it."""
    phrases = iter(reading.said if reading else ())
    waiting = next(phrases, None)
    mentions = []
    before: list[str] = []
    whole = [token for piece in pieces for token in piece]
    text = sentence_of(whole, spelling)
    for piece in pieces:
        after = [*before, *piece]
        if waiting is not None and tuple(piece) == waiting.phrase.tokens:
            start = len(sentence_of([*before, "x"], spelling)) - 2
            end = len(sentence_of(after, spelling)) - 1
            mentions.append(Mention(text[start:end], start, end, waiting.phrase.part, dict(waiting.phrase.claims)))
            waiting = next(phrases, None)
        before = after
    return text, tuple(mentions)
