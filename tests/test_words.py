"""Words that point: each word's heatmap, what it adds up to, and that it points where its evidence is."""

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.errors import DataError
from rationale.explainer.evidence import evidence_of, over_pixels
from rationale.explainer.explainer import Explainer, Sentence, Spoken
from rationale.explainer.speaker import NetworkSpeaker
from rationale.explainer.utterance import WordStart
from rationale.explainer.vocabulary import SPECIAL, START, Vocabulary, is_content
from rationale.explanation import Explanation
from rationale.explanation.words import Word, words_of
from rationale.lrp import COMPOSITES, propagate
from rationale.model import Model
from rationale.network import SequenceNetwork
from tests import networks
from tests.conftest import ROOT, needs

STEP = ROOT / "prototxt" / "flight" / "explainer_step.prototxt"


# ---- a toy that can only point at what was planted -------------------------------------------------------------------


def toy_explainer(folder: Path) -> Explainer:
    """Says "bright" by the first channel's mean activation and "dark" by the second's."""
    text = STEP.read_text()
    for old, new in [("dim: 512", "dim: 2"), ("dim: 60", "dim: 4"), ("num_output: 32", "num_output: 2")]:
        text = text.replace(old, new)
    path = folder / "step.prototxt"
    path.write_text(re.sub(r"(input_dim|num_output): 78", rf"\1: {len(SPECIAL) + 2}", text))
    network = SequenceNetwork.load(path)
    for layer in ("where_standard", "components", "projection", "embedding", "language", "explanation", "scores"):
        for values in network.parameters(layer):
            values[...] = 0
    network.parameters("components")[0][:, :2] = np.eye(2)  # the feature's two channels
    network.parameters("projection")[0][:2, 4:6] = np.eye(2)
    _, bias, static, _ = network.parameters("explanation")
    bias[:64], bias[128:192] = 4, 4  # open input and output gates, closed forget gates
    bias[64:128] = -4
    static[192:194, :2] = np.eye(2)
    network.parameters("scores")[0][len(SPECIAL) : len(SPECIAL) + 2, :2] = np.eye(2)
    spoken = Spoken(Vocabulary((*SPECIAL, "bright", "dark")), None, ("one", "other"), "explanation", 5)
    return Explainer(NetworkSpeaker(network), spoken)


@pytest.mark.parametrize("composite", ["epsilon", "epsilon-plus", "epsilon-gamma-box"])
def test_a_word_points_at_the_patch_that_was_planted_for_it(composite: str, tmp_path: Path) -> None:
    body = networks.convolution("feature", "data", 2, 1) + networks.relu("relu", "feature")
    network = networks.load(tmp_path, body + networks.dense("score", "feature", 2), (1, 1, 8, 8))
    weights, bias = network.parameters(network.graph.node("feature"))
    weights[:, 0, 0, 0], bias[...] = [1, -1], 0  # one channel for what is bright, one for what is dark
    batch = np.zeros((2, 1, 8, 8), np.float32)
    batch[0, 0, 1:3, 1:3], batch[0, 0, 5:7, 4:7] = 1, -1
    batch[1, 0, 6:8, 0:2], batch[1, 0, 0:2, 6:8] = 2, -2
    bounds = ((-3.0,), (3.0,))
    relevance = propagate(network, batch, 0, composite=composite, bounds=bounds)
    maps = relevance["data"].sum(axis=1)
    evidence = evidence_of(maps, network.activation("feature"), relevance["feature"], (2, 2))
    said = [
        Sentence("Bright, dark.", ("bright", "dark"), -1.0, (), ((0, 6), (8, 12))),
        Sentence("Dark.", ("dark",), -1.0, (), ((0, 4),)),
    ]
    found = words_of(
        network, relevance, evidence, toy_explainer(tmp_path), said,
        layer="feature", grid=(2, 2), composite=COMPOSITES[composite], bounds=bounds,
    )  # fmt: skip
    for pixels, words in zip(batch[:, 0], found, strict=True):
        for word in words:
            planted = pixels > 0 if word.text == "bright" else pixels < 0
            assert word.heatmap[planted].sum() == pytest.approx(word.score, rel=0.01)
            assert np.abs(word.heatmap[~planted]).sum() < 0.01 * word.score
            assert word.shares["image"] == pytest.approx(1, rel=1e-6)
            assert word.contrast is not None
            assert word.contrast.against == ("dark" if word.text == "bright" else "bright")
            other = pixels < 0 if word.text == "bright" else pixels > 0
            assert word.contrast.heatmap[planted].min() > 0
            assert word.contrast.heatmap[other].max() < 0
            assert word.fall > 0.001  # less probable when the picture says nothing


# ---- the shipped generator -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def explained() -> Explanation:
    needs("flight")
    return Model.load("flight").explain(load_dataset("flight").split("test").images[3])


def with_contrasts(explanation: Explanation) -> list[Word]:
    return [each for word in explanation.words for each in (word, word.contrast) if each is not None]


def test_every_word_is_there_and_stands_where_it_says(explained: Explanation) -> None:
    assert [word.text for word in explained.words] == list(explained.sentences[0].words)
    assert explained.sentence is not None
    for word in explained.words:
        written = explained.sentence[slice(*word.place)]
        assert written.lower() in (word.text, f"{word.text} probably", "would be")
        assert word.heatmap.shape == explained.heatmap.shape
        assert word.heatmap.dtype == np.float32
        assert 0 <= word.probability <= 1
    assert sum(np.log(word.probability) for word in explained.words) > explained.sentences[0].log_probability - 1
    assert any(word.contrast for word in explained.words)
    assert not any(word.contrast for word in explained.words if not word.is_content)
    assert len({word.heatmap.tobytes() for word in explained.words}) == len(explained.words)


def test_a_words_score_is_accounted_for_step_by_step(explained: Explanation) -> None:
    for word in with_contrasts(explained):
        amounts = (word.relevance_image, word.relevance_label, *word.relevance_words, word.bias, word.stabiliser)
        assert sum(amounts) == pytest.approx(word.score, rel=1e-3)
        assert sum(word.shares.values()) == pytest.approx(1, rel=1e-3)
        rows = {account.layer: account for account in word.ledger}
        assert max(abs(account.residual) for account in word.ledger) < 1e-3 * abs(word.score)
        assert rows["scores"].received == pytest.approx(word.score, rel=1e-6)
        onward = rows["classifier"].passed_on + rows["where"].passed_on
        assert word.heatmap.sum(dtype=np.float64) == pytest.approx(onward, abs=1e-3 * abs(word.score))
        image = rows["where"].received + rows["components"].received
        assert image == pytest.approx(word.relevance_image, rel=1e-6)
        assert rows["components"].passed_on == pytest.approx(rows["classifier"].received, abs=1e-3 * abs(word.score))


def test_the_words_are_those_that_caffe_says() -> None:
    needs("flight")
    model = Model.load("flight")
    explainer = model.explainer
    assert explainer is not None
    split = load_dataset("flight").split("test")
    relevance = model.relevance([model.view(split.images[row]) for row in (0, 150)])
    evidence = model.evidence(relevance)
    for row, label in enumerate(relevance.targets.tolist()):
        words = ("this", "is", "an", "airliner", "with", "low", "wings")
        utterance = explainer.utterance(evidence[[row]], label, words)
        memory, last = explainer.speaker.begin(evidence[[row]], np.array([label])), START
        for step, word in enumerate(utterance.words):
            logs, memory = explainer.speaker.step(memory, np.array([last]))
            np.testing.assert_allclose(utterance.log_probabilities[step], logs[0], atol=2e-4)
            last = word
        with pytest.raises(DataError, match="are not all"):
            explainer.utterance(evidence[[row]], label, ())


def test_what_a_model_does_not_see_has_no_share() -> None:
    random = np.random.default_rng(0)
    network = SequenceNetwork.load(STEP)
    vocabulary = Vocabulary((*SPECIAL, *(f"word{number}" for number in range(74))))
    maps = random.normal(size=(1, 12, 20)).astype(np.float32)
    layers = random.normal(size=(2, 1, 512, 3, 3)).astype(np.float32)
    evidence = evidence_of(maps, *layers, (10, 6))
    for variant, sees_image, sees_class in [("definition", False, True), ("description", True, False)]:
        explainer = Explainer(NetworkSpeaker(network), Spoken(vocabulary, None, ("airliner", "small"), variant, 20))
        utterance = explainer.utterance(evidence, 1, ("word3", "word9"))
        found = utterance.relevance([WordStart(0, utterance.words[0]), WordStart(1, utterance.words[1], 5)])
        assert bool(found.image.any()) == sees_image
        assert bool(found.label.any()) == sees_class
        kept = found.image + found.label + found.read.sum(axis=1) + found.bias + found.stabiliser
        assert kept == pytest.approx(found.scores, rel=1e-9, abs=1e-12)
        same = np.array_equal(utterance.without_picture, utterance.log_probabilities)
        assert same == (not sees_image)


def test_saved_words(explained: Explanation, tmp_path: Path) -> None:
    explained.save(tmp_path / "full")
    explained.save(tmp_path / "light", full=False)
    told = json.loads((tmp_path / "full" / "explanation.json").read_text())
    assert [each["text"] for each in told["words"]] == [word.text for word in explained.words]
    assert told["words"][3]["shares"] == explained.words[3].shares
    content = [number for number, word in enumerate(explained.words) if word.is_content]
    for folder, kept, exact in (("full", list(range(len(explained.words))), True), ("light", content, False)):
        with h5py.File(tmp_path / folder / "explanation.h5") as file:
            words = file["words"]
            assert words["text"].asstr()[:].tolist() == [word.text for word in explained.words]
            assert words["heatmap_of"][:].tolist() == kept
            for place, number in enumerate(kept):
                own = explained.words[number].heatmap
                np.testing.assert_allclose(words["heatmap"][place], own, rtol=0 if exact else 2**-7)
            for place, number in enumerate(words["contrast_of"][:]):
                contrast = explained.words[number].contrast
                assert contrast is not None
                assert contrast.against == words["against"].asstr()[number]
                np.testing.assert_allclose(words["contrast_heatmap"][place], contrast.heatmap, rtol=2**-7)


def test_no_words_where_none_are_wanted(explained: Explanation) -> None:
    model = Model.load("flight")
    assert not model.explain_views([explained.image], ["a"], words=False)[0].words
    assert not model.explain_views([explained.image], ["a"], sentences=False)[0].words
    assert not model.explain_views([explained.image], ["a"], target=0, against=1)[0].words


def test_cells_hand_everything_to_their_pixels() -> None:
    random = np.random.default_rng(0)
    heatmap = random.normal(size=(7, 11)).astype(np.float32)
    heatmap[:3, :5] = -1  # a cell without positive relevance
    amounts = random.normal(size=(4, 6))
    found = over_pixels(amounts, heatmap, (3, 2))
    assert found.shape == (4, 7, 11)
    assert found.sum(axis=(1, 2)) == pytest.approx(amounts.sum(axis=1))
    only = np.zeros((1, 6))
    only[0, 5] = 2  # the last cell: rows 3.5 to 7, columns 7.33 to 11
    placed = over_pixels(only, heatmap, (3, 2))[0]
    assert not placed[:3].any()
    assert not placed[:, :7].any()
    assert not placed[heatmap < 0].any()


def test_function_words_say_nothing_of_a_picture() -> None:
    assert all(is_content(word) for word in ("windows", "low", "under", "t-tail", "8"))
    assert not any(is_content(word) for word in ("it", "with", ",", ":", "the", "because", "<end>"))
