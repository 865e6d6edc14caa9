"""The language of captions: what is composed is read back, and nothing else is taken for it."""

import itertools
from dataclasses import replace

import msgspec
import pytest

from rationale.captions import caption_source
from rationale.captions.choose import chosen_by_heatmap, phrasings
from rationale.datasets.flight import read_annotations
from rationale.errors import DataError
from rationale.explainer.language import Language, Phrase
from rationale.explainer.vocabulary import tokens_of

FLIGHT = caption_source("flight").language
TINY = Language(
    ("this is {class} with {claims}", "it has {claims}, so this is {class}"),
    {"one": "a one", "two": "a two"},
    (
        Phrase("a red hat", "hat", {"hat": "red"}, "head"),
        Phrase("a green hat", "hat", {"hat": "green"}, "head"),
        Phrase("no shoes", "shoes", {"shoes": "none"}),
    ),
)


def test_every_annotation_can_be_told_and_read_back() -> None:
    for row in read_annotations():
        subjects = [each for each in FLIGHT.subjects if FLIGHT.ways(each, row.attributes)]
        assert len(subjects) >= 4
        for frame, (text, phrases) in enumerate(phrasings(FLIGHT, row.kind, row.attributes, subjects)):
            reading = FLIGHT.read(tokens_of(text))
            assert reading is not None, text
            assert (reading.frame, reading.label) == (frame, row.kind)
            assert reading.claims == {name: value for each in phrases for name, value in each.claims.items()}
            assert all(row.attributes[name] == value for name, value in reading.claims.items())


@pytest.mark.parametrize(
    "text",
    [
        "this is a one with a red hat, no shoes",
        "this is a one with a red hat and a green hat",
        "this is a one with a red",
        "this is a three with a red hat",
        "it has a red hat",
        "",
    ],
)
def test_what_is_not_of_the_language_is_not_read(text: str) -> None:
    assert TINY.read(tokens_of(text)) is None


def test_next_words_lead_to_all_sentences_and_to_no_others() -> None:
    texts = {
        tuple(tokens_of(TINY.compose(frame, "one", phrases)))
        for frame in range(2)
        for count in (1, 2)
        for phrases in itertools.permutations(TINY.phrases, count)
        if len({phrase.subject for phrase in phrases}) == count
    }
    found = all_sentences(TINY)
    assert texts <= found
    for words in found:  # what is told in another order is of the language, too
        reading = TINY.read(words)
        assert reading is not None
        assert reading.label == "one"


def test_a_sentence_goes_on_until_enough_is_told() -> None:
    coat = Phrase("a long coat", "coat", {"coat": "long"}, "body")
    language = replace(TINY, phrases=(*TINY.phrases, coat))
    whole = all_sentences(language)
    for least in (1, 2, 3):
        told = {words: len(reading.said) for words in whole if (reading := language.read(words)) is not None}
        assert len(told) == len(whole)
        assert all_sentences(replace(language, least=least)) == {words for words in told if told[words] >= least}


def all_sentences(language: Language) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    open_: list[tuple[str, ...]] = [()]
    while open_:
        begun = open_.pop()
        for word in language.next_words(begun, "one"):
            if word == "":
                found.add(begun)
            else:
                open_.append((*begun, word))
    return found


def test_words_that_begin_phrases_tell_their_subject() -> None:
    # Else the generator could not learn what is true of a part without learning to speak of it: see training.
    starts: dict[str, set[str]] = {}
    for phrase in FLIGHT.phrases:
        starts.setdefault(phrase.tokens[0], set()).add(phrase.subject)
    assert {word: subjects for word, subjects in starts.items() if len(subjects) > 1} == {"a": {"body", "tail"}}


def test_mistakes_in_a_language_are_named() -> None:
    with pytest.raises(DataError, match=r"must hold \{class\}"):
        Language(("this is with {claims}",), {}, ())
    with pytest.raises(DataError, match="claims different things"):
        Language((), {}, (Phrase("a hat", "hat", {"hat": "red"}), Phrase("a hat", "hat", {"hat": "green"})))
    with pytest.raises(DataError, match="no noun for the class 'three'"):
        TINY.compose(0, "three", TINY.phrases[:1])
    with pytest.raises(DataError, match="two phrases about one"):
        TINY.compose(0, "one", TINY.phrases[:2])
    assert msgspec.convert(TINY.as_dict(), Language) == TINY


def test_captions_name_what_carries_most_relevance() -> None:
    attributes = {
        "body": "long",
        "body_colour": "white",
        "windows": "multiple",
        "wing": "low",
        "wheels": "not_protruded",
    }
    densities = {"body": 1.0, "windows": 6.0, "wing": 3.0, "engines": 9.0}  # of engines nothing is known
    chosen = chosen_by_heatmap(FLIGHT, attributes, densities, 2)
    assert chosen == ["windows", "wing", "wheels"]  # and the absent wheels besides
