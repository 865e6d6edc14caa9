"""Faithfulness of sentences: what is compared must be alike, and what is measured must be what happens."""

from dataclasses import replace

import numpy as np
import pytest

from rationale.captions import spoken_of
from rationale.captions.measured import view_regions
from rationale.evaluation.faithfulness import Said, Trials, content_steps, moved_onto, peaks_inside
from rationale.explainer.explainer import Mention, Sentence
from rationale.model import Model
from tests.conftest import needs


def test_a_region_moves_onto_another_and_keeps_its_size() -> None:
    one, other = np.zeros((2, 20, 30), bool)
    one[2:6, 3:9], other[12:14, 20:24] = True, True
    moved = moved_onto(one, other)
    assert moved.sum() == one.sum()
    rows, columns = np.nonzero(moved)
    assert (rows.mean(), columns.mean()) == (pytest.approx(12.5, abs=1), pytest.approx(21.5, abs=1))


def test_the_pointing_game() -> None:
    heatmap, region = np.zeros((30, 30), np.float32), np.zeros((30, 30), bool)
    region[10:20, 10:20] = True
    assert not peaks_inside(heatmap, region)
    heatmap[14, 14] = 1
    assert peaks_inside(heatmap, region)
    heatmap[2:5, 2:5] = 1  # a place outshines a pixel
    assert not peaks_inside(heatmap, region)


def test_the_content_words_of_a_phrase() -> None:
    sentence = Sentence("It has a long body.", ("it", "has", "a", "long", "body"), -1.0, (),
                        ((0, 2), (3, 6), (7, 8), (9, 13), (14, 18)))  # fmt: skip
    assert content_steps(sentence, Mention("a long body", 7, 18, "body", {})) == [3, 4]


def test_what_a_sentence_names_is_blurred_beside_as_much_that_it_does_not() -> None:
    needs("flight")
    model = Model.load("flight")
    assert model.explainer is not None
    dataset, source = spoken_of(model)
    split = dataset.split("test")
    assert split.parts is not None
    rows = [3, 40]
    parts = {row: view_regions(model, source, split.parts[row]) for row in rows}
    explained = model.explain_views([model.view(split.images[row]) for row in rows], ["a", "b"], words=False)
    labels = {row: each.target_index for row, each in zip(rows, explained, strict=True)}
    sentences = {row: each.sentences[0] for row, each in zip(rows, explained, strict=True)}
    trials = Trials(model, split, parts.__getitem__)
    found = trials.measure(Said(model.explainer, sentences), rows, labels)
    for kind in ("class", "word"):
        named, unnamed, difference = (found[f"{kind}_{each}"] for each in ("named", "unnamed", "difference"))
        assert named[3] == 2
        assert difference[0] == pytest.approx(named[0] - unnamed[0])
        assert difference[1] <= difference[0] <= difference[2]
    assert 0 <= found["pointing"][0] <= 1
    assert 0 < found["chance"] < 0.5
    again = trials.measure(Said(model.explainer, sentences), rows, labels)
    assert again == found
    mute = {row: replace(each, mentions=()) for row, each in sentences.items()}
    nothing = trials.measure(Said(model.explainer, mute), rows, labels)
    assert nothing["class_named"] is None
    assert nothing["pointing"] is None
