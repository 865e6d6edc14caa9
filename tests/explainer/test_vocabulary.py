"""Words and numbers: what is said must come back as it was, and no word may be taken for a special one."""

import numpy as np
import pytest

from rationale.errors import DataError
from rationale.explainer.vocabulary import END, PADDING, START, UNKNOWN, Vocabulary, sentence_of, shifted, tokens_of


def test_a_sentence_comes_back_as_it_was() -> None:
    text = "The aircraft is an airliner: it has wing-mounted propellers, a blue T-tail and rows of windows."
    assert sentence_of(tokens_of(text), {"t-tail": "T-tail"}) == text


def test_special_words_are_distinct_and_unreachable() -> None:
    vocabulary = Vocabulary.of_captions([["a", "row"], ["a", "<end>", "row"]])
    assert len({PADDING, START, END, UNKNOWN}) == 4
    assert vocabulary.encode(["a", "<end>", "wing"]) == [4, UNKNOWN, UNKNOWN]
    assert vocabulary.decode([START, 4, UNKNOWN, 5, END, 4]) == ["a", "row"]
    with pytest.raises(DataError, match="no word number 9"):
        vocabulary.decode([9])


def test_rare_words_are_unknown() -> None:
    captions = [["a", "wing"], ["a", "nose"], ["a", "wing"]]
    assert Vocabulary.of_captions(captions, 2).words[4:] == ("a", "wing")
    with pytest.raises(DataError, match="no word 9 times"):
        Vocabulary.of_captions(captions, 9)


def test_reading_is_one_step_behind_saying() -> None:
    read, said = shifted([(5, 6), (7,)], 4)
    assert read.T.tolist() == [[START, 5, 6, PADDING], [START, 7, PADDING, PADDING]]
    assert said.T.tolist() == [[5, 6, END, PADDING], [7, END, PADDING, PADDING]]
    with pytest.raises(DataError, match="does not fit into 2 steps"):
        shifted([(5, 6)], 2)
    assert np.issubdtype(read.dtype, np.integer)
