"""Beliefs on a toy speaker whose probabilities are known."""

import numpy as np
import pytest

from rationale.explainer.belief import believed, value_shares
from rationale.explainer.evidence import Evidence
from rationale.explainer.language import Language, Phrase
from rationale.explainer.losses import log_probabilities
from rationale.explainer.vocabulary import SPECIAL, START, Vocabulary, tokens_of

LANGUAGE = Language(
    ("this is {class} with {claims}", "{claims} make {class}"),
    {"one": "a one", "two": "some two or more"},
    (
        Phrase("red wings", "wings", {"wings": "red", "seen": "yes"}, "wings"),
        Phrase("blue wings", "wings", {"wings": "blue", "seen": "yes"}, "wings"),
        Phrase("wings in blue", "wings", {"wings": "blue", "seen": "yes"}, "wings"),
        Phrase("wings", "wings", {"seen": "yes"}, "wings"),
        Phrase("no wings", "wings", {"wings": "none", "seen": "no"}),
        Phrase("a red tail", "tail", {"tail": "red"}, "tail"),
        Phrase("no tail", "tail", {"tail": "none"}),
    ),
)
TEXTS = (*(each.text for each in LANGUAGE.phrases), "this is with make", *LANGUAGE.nouns.values())
VOCABULARY = Vocabulary((*SPECIAL, *dict.fromkeys(word for text in TEXTS for word in tokens_of(text))))


class Table:
    """The next word depends on the last two and on the picture's number."""

    def __init__(self, seed: int) -> None:
        size = len(VOCABULARY)
        scores = np.random.default_rng(seed).normal(size=(3, size, size, size)) * 2
        self.logs = log_probabilities(scores.astype(np.float32))

    def begin(self, evidence: Evidence, labels: np.ndarray, variant: str) -> np.ndarray:
        return np.stack([evidence.where[:, 0].astype(int), np.zeros(len(labels), int)], axis=1)

    def step(self, state: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.logs[state[:, 0], state[:, 1], words], np.stack([state[:, 0], words], axis=1)

    def chosen(self, state: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return state[rows]


def said(table: Table, picture: int, before: list[int], phrase: list[int]) -> float:
    """The probability of the phrase behind a beginning, word by word."""
    words, total = [0, START, *before, *phrase], 1.0
    for at in range(len(words) - len(phrase), len(words)):
        total *= np.exp(table.logs[picture, words[at - 2], words[at - 1], words[at]])
    return float(total)


@pytest.mark.parametrize("frame", [0, 1])
def test_a_values_share_is_that_of_all_phrases_that_claim_it(frame: int) -> None:
    table, labels = Table(frame), np.array([0, 1, 0])
    evidence = Evidence(np.arange(3, dtype=np.float32)[:, None], *np.zeros((2, 3, 1), np.float32))
    found = value_shares(table, VOCABULARY, LANGUAGE, ("one", "two"), evidence, labels, "explanation", frame)
    assert {name: list(values) for name, values in found.items()} == {
        "wings": ["red", "blue", "none"], "seen": ["yes", "no"], "tail": ["red", "none"]
    }  # fmt: skip
    for row, label in enumerate(labels):
        before = VOCABULARY.encode(LANGUAGE.before(frame, ("one", "two")[label]))
        own = [said(table, row, before, VOCABULARY.encode(each.tokens)) for each in LANGUAGE.phrases]
        both = list(zip(LANGUAGE.phrases, own, strict=True))
        for name, values in found.items():
            tell = [(phrase.claims[name], share) for phrase, share in both if name in phrase.claims]
            for value, share in values.items():
                claimed = sum(each for told, each in tell if told == value)
                assert share[row] == pytest.approx(claimed / sum(each for _, each in tell), rel=1e-5)
    assert not np.allclose(found["wings"]["red"][0], found["wings"]["red"][2])


def test_only_what_is_believed_is_left_and_the_most_of_it() -> None:
    def texts(red: float, yes: float, tail: float, *, least: float = 0.8, subjects: tuple[str, ...]) -> list[str]:
        shares = {
            "wings": {"red": np.array([red]), "blue": np.array([1 - red]), "none": np.array([0.0])},
            "seen": {"yes": np.array([yes]), "no": np.array([1 - yes])},
            "tail": {"red": np.array([tail]), "none": np.array([1 - tail])},
        }
        found = believed(LANGUAGE, shares, 0, least, subjects)
        assert found.least == len(found.subjects)
        return [each.text for each in found.phrases]

    both = ("wings", "tail")
    assert texts(0.9, 0.95, 0.85, subjects=both) == ["red wings", "a red tail"]
    assert texts(0.1, 0.95, 0.5, subjects=both) == ["blue wings", "wings in blue"]
    assert texts(0.5, 0.95, 0.5, subjects=both) == ["wings"]
    assert texts(0.9, 0.7, 0.1, subjects=both) == ["no tail"]
    assert texts(0.9, 0.95, 0.85, subjects=("tail",)) == ["a red tail"]
    assert texts(0.5, 0.6, 0.55, subjects=both) == ["wings"]  # nothing is believed
