"""Words and their numbers. Start, end, padding and the unknown word are distinct, and no caption can hold them."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rationale.errors import DataError

PADDING, START, END, UNKNOWN = range(4)
SPECIAL = ("<padding>", "<start>", "<end>", "<unknown>")

# English words that hold sentences together and say nothing of a picture; prepositions of place do, and are not here.
_HOLDING = """
a an and are as be because been being but by can could did do does for from had has have he her his i if in is it its
itself may might of on or she so some such than that the their them there these they this those to was were what when
where which while who whose why will with would you your
"""
FUNCTION_WORDS = frozenset(_HOLDING.split())

_TOKEN = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*|[,:;]")
_NO_SPACE_BEFORE = re.compile(r" ([,:;])")


def tokens_of(text: str) -> list[str]:
    """Words and inner punctuation of a sentence, in lower case; full stops are left out, for every sentence ends so."""
    return _TOKEN.findall(text.lower())


def sentence_of(tokens: Sequence[str], spelling: Mapping[str, str] | None = None) -> str:
    """A sentence with its capital and its full stop; `spelling` gives words that are not written in lower case."""
    words = [spelling.get(token, token) for token in tokens] if spelling else tokens
    text = _NO_SPACE_BEFORE.sub(r"\1", " ".join(words))
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def is_content(token: str) -> bool:
    """Whether a token can say something of a picture: it is a word, and none of FUNCTION_WORDS."""
    return token not in FUNCTION_WORDS and token not in SPECIAL and token[:1].isalnum()


@dataclass(frozen=True)
class Vocabulary:
    """Words in the order of their numbers, the four special ones first."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks the words.

        Raises:
            DataError: the special words are not first, a word comes twice, or there is none.
        """
        if self.words[: len(SPECIAL)] != SPECIAL or len(self.words) == len(SPECIAL):
            raise DataError(f"a vocabulary begins with {', '.join(SPECIAL)}, and has words besides")
        if len(set(self.words)) != len(self.words):
            twice = Counter(self.words).most_common(1)[0][0]
            raise DataError(f"the vocabulary holds {twice!r} twice")

    @classmethod
    def of_captions(cls, captions: Iterable[Sequence[str]], minimum: int = 1) -> "Vocabulary":
        """The words that come at least `minimum` times, the most frequent first.

        Raises:
            DataError: no word does.
        """
        counts = Counter(word for caption in captions for word in caption)
        known = sorted(
            (word for word in counts if counts[word] >= minimum and word not in SPECIAL),
            key=lambda word: (-counts[word], word),
        )
        if not known:
            raise DataError(f"the captions hold no word {minimum} times or more")
        return cls((*SPECIAL, *known))

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words)}

    def __contains__(self, word: object) -> bool:
        return word in self._numbers and word not in SPECIAL

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Numbers of the words, UNKNOWN for those that are not in the vocabulary."""
        return [self._numbers[token] if token in self else UNKNOWN for token in tokens]

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Words up to the end; the special ones are left out.

        Raises:
            DataError: a number is not that of a word.
        """
        found = []
        for number in numbers:
            if not 0 <= number < len(self):
                raise DataError(f"there is no word number {number}; the vocabulary has 0 to {len(self) - 1}")
            if number == END:
                break
            if number >= len(SPECIAL):
                found.append(self.words[number])
        return found


def shifted(sentences: Sequence[Sequence[int]], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What a time-major network reads and what it should say next, both int64 (length, N).

    The words of a sentence w are read as START, w₁, …, wₙ and should be answered by w₁, …, wₙ, END; behind that,
    PADDING is read and PADDING is the answer, which counts in no loss.

    Raises:
        DataError: a sentence does not fit into `length` steps.
    """
    read = np.full((length, len(sentences)), PADDING, np.int64)
    said = np.full((length, len(sentences)), PADDING, np.int64)
    for column, sentence in enumerate(sentences):
        if len(sentence) + 1 > length:
            raise DataError(f"a sentence of {len(sentence)} words does not fit into {length} steps with its end")
        read[: len(sentence) + 1, column] = [START, *sentence]
        said[: len(sentence) + 1, column] = [*sentence, END]
    return read, said
