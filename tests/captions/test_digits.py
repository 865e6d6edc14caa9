"""Digits must be spoken of in correct English, in five phrasings, by what the heatmap chose."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from rationale.captions import caption_source
from rationale.captions.choose import captions_of, chosen_by_heatmap
from rationale.datasets import load_dataset
from rationale.explainer.vocabulary import tokens_of
from rationale.model import Model
from tests.test_cli import run

EIGHT = {
    "loops": "two", "closed": "yes", "ends": "0", "bar": "none", "stem": "none", "meeting": "1", "slant": "right"
}  # fmt: skip


def test_an_eight_in_five_phrasings_chosen_by_the_heatmap() -> None:
    language = caption_source("mnist").language
    assert language is not None
    densities = {"loops": 3.0, "meeting": 2.0, "whole": 2.5}
    subjects = chosen_by_heatmap(language, EIGHT, densities)
    told = [each.text for each in captions_of(language, "1", "8", EIGHT, densities, subjects)]
    assert len(set(told)) == 5
    assert told[0].startswith("this is an 8 because it has two loops that meet in the middle")
    assert all("no open end" in text for text in told)
    for text in told:
        reading = language.read(tokens_of(text))
        assert reading is not None
        assert reading.label == "8"
        assert all(EIGHT[name] == value for name, value in reading.claims.items())
    turns = [captions_of(language, "1", "8", EIGHT, densities, subjects, 2, turn) for turn in range(3)]
    assert [len(each) for each in turns] == [2, 2, 2]
    assert len({each.text for turn in turns for each in turn}) == 5  # the frames by turns


def test_what_is_said_of_a_digit_is_believed() -> None:
    """Every claim has at least the probability that model.toml asks for, unless nothing that could be said has."""
    model = Model.load("mnist")
    views = [model.view(digit) for digit in load_dataset("mnist").split("val").images[:20]]
    relevance = model.relevance(views)
    evidence, explainer = model.evidence(relevance), model.explainer
    assert explainer is not None
    assert explainer.belief > 0.5
    shares = explainer.value_shares(evidence, relevance.targets)
    doubtful = 0
    for row, (sentence, *_) in enumerate(model.sentences(relevance)):
        claims = [claim for mention in sentence.mentions for claim in mention.claims.items()]
        believed = [shares[name][value][row] >= explainer.belief for name, value in claims]
        doubtful += not all(believed)
        assert all(believed) or len(sentence.mentions) == 1
    assert doubtful < 5


def test_explain_says_why_of_a_digit(tmp_path: Path) -> None:
    digit = np.asarray(load_dataset("mnist").split("test").images[0])
    Image.fromarray(digit).save(tmp_path / "seven.png")
    done = run("explain", tmp_path / "seven.png", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert "a 7" in told["sentence"]
    assert told["sentence"].endswith(".")
    assert told["consistency"] is None or 0 <= told["consistency"] <= 1
    assert any(word["content"] for word in told["words"])
    explainer = Model.load("mnist").explainer
    assert explainer is not None
    assert explainer.spoken.classes == tuple("0123456789")
