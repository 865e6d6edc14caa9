"""Time-major networks: any number of samples, words checked, one step at a time equal to all at once."""

from pathlib import Path

import numpy as np
import pytest

from rationale.errors import NetworkError
from rationale.explainer.evidence import Evidence
from rationale.explainer.losses import log_probabilities
from rationale.explainer.speaker import NetworkSpeaker, long_inputs
from rationale.explainer.vocabulary import shifted
from rationale.network import SequenceNetwork, Solver
from rationale.network.pycaffe import pycaffe
from tests.conftest import ROOT

FLIGHT = ROOT / "prototxt" / "flight"


@pytest.fixture(scope="module")
def networks() -> tuple[SequenceNetwork, SequenceNetwork]:
    pycaffe().set_random_seed(1)
    long = SequenceNetwork.load(FLIGHT / "explainer.prototxt")
    step = SequenceNetwork.load(FLIGHT / "explainer_step.prototxt")
    long.lend_weights(step)
    return long, step


def some_evidence(count: int) -> Evidence:
    random = np.random.default_rng(0)
    where, feature, relevance = (random.random((count, size)).astype(np.float32) for size in (60, 512, 512))
    return Evidence(where, feature, relevance)


def test_one_step_at_a_time_equals_the_long_network(networks: tuple[SequenceNetwork, SequenceNetwork]) -> None:
    long, step = networks
    random = np.random.default_rng(1)
    sentences = [tuple(int(word) for word in random.integers(4, 70, size)) for size in (30, 3, 17)]
    labels = np.array([0, 1, 1])
    read, _ = shifted(sentences, long.steps)
    whole = log_probabilities(long.forward(long_inputs(read, some_evidence(3), labels, 2, "explanation"))["scores"])
    speaker = NetworkSpeaker(step)
    memory = speaker.begin(some_evidence(3), labels)
    for at, words in enumerate(read):
        logs, memory = speaker.step(memory, words)
        assert logs == pytest.approx(whole[at], abs=2e-5)


def test_what_a_model_does_not_see_changes_nothing(networks: tuple[SequenceNetwork, SequenceNetwork]) -> None:
    _, step = networks
    speaker, words = NetworkSpeaker(step), np.array([1, 1])
    different = some_evidence(2)
    by_class = [
        speaker.step(speaker.begin(different, np.array([0, 1]), name), words)[0]
        for name in ("description", "definition")
    ]
    assert not np.allclose(by_class[0][0], by_class[0][1])  # other evidence
    alike = Evidence(*(np.repeat(array[:1], 2, axis=0) for _, array in different.items()))
    described, _ = speaker.step(speaker.begin(alike, np.array([0, 1]), "description"), words)
    assert described[0] == pytest.approx(described[1])  # another class only
    defined, _ = speaker.step(speaker.begin(different, np.array([1, 1]), "definition"), words)
    assert defined[0] == pytest.approx(defined[1])


def test_mistakes_are_named(networks: tuple[SequenceNetwork, SequenceNetwork], tmp_path: Path) -> None:
    long, step = networks
    inputs = long_inputs(np.ones((33, 2), np.int64), some_evidence(2), np.array([0, 1]), 2, "explanation")
    with pytest.raises(NetworkError, match="knows the words 0 to 77"):
        long.forward({**inputs, "words": np.full((33, 2), 78.0)})
    with pytest.raises(NetworkError, match=r"input 'label' wants \(2, 2\)"):
        long.forward({**inputs, "label": np.zeros((3, 2), np.float32)})
    with pytest.raises(NetworkError, match="the inputs are"):
        long.forward({"words": inputs["words"]})
    with pytest.raises(NetworkError, match="33 steps"):
        NetworkSpeaker(long)
    with pytest.raises(NetworkError, match="no generator is named"):
        NetworkSpeaker(step).begin(some_evidence(1), np.array([0]), "poem")
    with pytest.raises(NetworkError, match="do not fit a generator for 2"):
        NetworkSpeaker(step).begin(some_evidence(1), np.array([2]))
    path = tmp_path / "square.prototxt"
    path.write_text('layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 3 dim: 3 } } }')
    with pytest.raises(NetworkError, match="unlike numbers of steps and samples"):
        SequenceNetwork.load(path)


def test_an_update_by_a_gradient_from_python_goes_down(tmp_path: Path) -> None:
    solver = Solver.load(FLIGHT / "explainer_solver.prototxt", tmp_path)
    read, said = shifted([(5, 6, 7)] * 32, 33)
    inputs = long_inputs(read, some_evidence(32), np.zeros(32, np.int64), 2, "explanation")

    def gradient(outputs: dict[str, np.ndarray]) -> tuple[float, dict[str, np.ndarray]]:
        logs = log_probabilities(outputs["scores"])
        place = (*np.indices((4, 32)), said[:4])
        found = np.zeros_like(outputs["scores"])
        found[:4] = np.exp(logs[:4])
        found[place] -= 1
        return float(-logs[place].mean()), {"scores": found / 128}

    losses = [solver.update(inputs, gradient) for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(78), rel=0.1)
    assert losses[-1] < 0.3
    assert solver.iteration == 30
    with pytest.raises(NetworkError, match="the loss is nan"):
        solver.update(inputs, lambda outputs: (float("nan"), {}))
