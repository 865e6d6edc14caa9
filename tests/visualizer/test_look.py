"""What a worker looks up once and keeps, what it shows of a layer, and the sentence."""

import json
import struct
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rationale.datasets import load_dataset
from rationale.model import Model
from rationale.render.colours import symmetric_scale
from rationale.visualizer.frame import Frame
from rationale.visualizer.layers import describe_layers
from rationale.visualizer.look import Looker
from rationale.visualizer.parcel import shrink, signed_bytes
from rationale.visualizer.question import Question
from tests.conftest import needs
from tests.visualizer.server import unpack


def frame(digit: np.ndarray, number: int = 1) -> Frame:
    return Frame(number, digit.tobytes(), (28, 28), 1)


def ask(looker: Looker, digit: np.ndarray, **more: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    header, arrays = unpack(looker.answer(frame(digit), Question(model="mnist", **more)))
    return header, arrays  # type: ignore[return-value]


def test_what_was_asked_before_gives_the_same_again(mnist_model: Model, digits: np.ndarray) -> None:
    """An answer out of what is kept must be the answer of a pass of its own, whatever was asked between."""
    looker = Looker(mnist_model, 10**7)
    questions: list[dict[str, Any]] = [
        {"layer": "conv1"},
        {"layer": "conv2", "channel": 3, "through": True},
        {"layer": "conv2", "channel": 8, "through": True, "backward": {"method": "guided"}},
        {"layer": "conv1", "backward": {"method": "relevance", "layer": "conv2", "channel": 8}},
        {"layer": "pool1", "live": True},
        {"layer": "conv2", "live": True},
        {"layer": "conv2", "target": 3, "against": 7},
        {"layer": "conv2", "composite": "epsilon"},
        {"layer": "conv1"},
    ]
    for question in questions:
        kept, fresh = ask(looker, digits[0], **question), ask(Looker(mnist_model, 10**7), digits[0], **question)
        assert kept[0]["score"] == pytest.approx(fresh[0]["score"])
        assert kept[1].keys() == fresh[1].keys()
        for name in kept[1]:
            assert np.allclose(kept[1][name], fresh[1][name], atol=1e-5), (question, name)


def test_sorted_filtered_and_empty_channels_folded_away(mnist_model: Model, digits: np.ndarray) -> None:
    looker = Looker(mnist_model, 10**7)
    header, arrays = ask(looker, digits[0], layer="conv2", tiles={"sort": "relevance", "sign": "for"})
    sums, shown = arrays["sums"], header["layer"]["shown"]
    assert (sums[shown] > 0).all()
    assert list(sums[shown]) == sorted(sums[shown], reverse=True)
    header, arrays = ask(looker, digits[0], layer="conv2", tiles={"sort": "activation", "least": 0.5})
    peaks, shown = arrays["peaks"], header["layer"]["shown"]
    assert peaks[shown].min() >= 0.5 * peaks.max()
    assert list(peaks[shown]) == sorted(peaks[shown], reverse=True)
    header, arrays = ask(looker, digits[0], layer="ip1", tiles={"sort": "number", "count": 1024})
    empty = set(range(500)) - set(header["layer"]["shown"])
    assert header["layer"]["silent"] == len(empty) > 50
    assert all(arrays["peaks"][each] <= 0 and arrays["sums"][each] == 0 for each in empty)
    header, _ = ask(looker, digits[0], layer="conv2", tiles={"channels": [4, 2, 99]})
    assert header["layer"]["shown"] == [4, 2]


def test_the_sentence_comes_with_a_model_that_has_one(
    mnist_model: Model, digits: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of pictures that stand still, for one class: a contrast of two has none."""
    mute = Model("mnist", mnist_model.directory, replace(mnist_model.description, explainer=None))
    assert ask(Looker(mute, 10**7), digits[0], sentence=True)[0]["sentence"] is None
    said = SimpleNamespace(text="This is a 7.")
    monkeypatch.setattr(Model, "sentences", lambda model, relevance, count: [[said]])
    assert ask(Looker(mute, 10**7), digits[0], sentence=True)[0]["sentence"] == "This is a 7."
    assert "sentence" not in ask(Looker(mute, 10**7), digits[0], sentence=True, against=3)[0]


def test_layers_are_told_from_the_graph_with_branches_side_by_side() -> None:
    model = Model.load("flight")
    layers = {str(layer["name"]): layer for layer in describe_layers(model.network, model.target_layer)}
    one, other, join = (layers[f"fire2/{name}"] for name in ("conv1x1_2", "conv3x3_2", "concat"))
    assert one["column"] == other["column"]
    assert (one["row"], other["row"]) == (0, 1)
    assert join["sources"] == ["fire2/conv1x1_2", "fire2/conv3x3_2"]
    assert one["also"] == ["ReLU"]
    assert not any(layer["type"] in ("Split", "ReLU") for layer in layers.values())
    assert [name for name, layer in layers.items() if not layer["relevance"]] == ["prob"]


def test_eight_bits_keep_small_values_and_signs() -> None:
    values = np.array([0, 1, -1, 0.01, -0.01, 3, -3], np.float32)
    levels = (signed_bytes(values, 1.0).astype(float) - 128) / 127
    back = np.sign(levels) * levels**2
    assert np.allclose(back, [0, 1, -1, 0.01, -0.01, 1, -1], atol=1e-3)


def test_shrunk_maps_are_means_of_their_squares() -> None:
    maps = np.random.default_rng(0).normal(size=(2, 7, 10)).astype(np.float32)
    small = shrink(maps, 5)
    assert small.shape == (2, 4, 5)
    assert small[1, 0, 0] == pytest.approx(maps[1, :2, :2].mean(), rel=1e-5)
    assert small[0, 3, 4] == pytest.approx(maps[0, 6:, 8:].mean(), rel=1e-5)


def test_a_parcel_begins_with_its_json(mnist_model: Model, digits: np.ndarray) -> None:
    message = Looker(mnist_model, 10**7).answer(frame(digits[0], 9), Question(model="mnist"))
    (length,) = struct.unpack_from("<I", message)
    assert json.loads(message[4 : 4 + length])["frame"] == 9
    assert length % 4 == 0


def test_a_word_of_the_sentence_has_its_heatmap_even_after_other_views() -> None:
    needs("flight")
    model = Model.load("flight")
    photo = np.ascontiguousarray(load_dataset("flight").split("test").images[3])
    looker = Looker(model, 10**7)
    shown = Frame(1, photo.tobytes(), photo.shape[:2], 3)

    def told(**more: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return unpack(looker.answer(shown, Question(model="flight", **more)))  # type: ignore[return-value]

    header, _ = told(sentence=True)
    words = header["words"]
    assert [header["sentence"][word["start"] : word["end"]].lower() for word in words if word["content"]] == [
        word["text"] for word in words if word["content"]
    ]
    own = model.explain(photo).words
    assert [word["shares"] for word in words] == [pytest.approx(word.shares, abs=1e-5) for word in own]
    step = next(step for step, word in enumerate(own) if word.contrast is not None)
    told(backward={"method": "relevance", "layer": "conv1", "channel": 3})  # another pass through the network
    for contrast, word in ((False, own[step]), (True, own[step].contrast)):
        header, arrays = told(word={"step": step, "contrast": contrast})
        assert header["word"] == {"step": step, "contrast": contrast}
        assert word is not None
        scale = symmetric_scale(word.heatmap)  # what exceeds it is drawn like it
        assert arrays["word"] == pytest.approx(np.clip(word.heatmap, -scale, scale), abs=0.02 * scale)
    assert told(word={"step": 99})[0]["word"] is None
