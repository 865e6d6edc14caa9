"""The generator's one-step network as a speaker: evidence and class in, log-probabilities of the next word out."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.explainer.evidence import Evidence
from rationale.explainer.losses import log_probabilities
from rationale.explainer.vocabulary import START
from rationale.network import SequenceNetwork

Array = NDArray[np.float32]

LSTMS = ("language", "explanation")  # layers of explainer.prototxt
SWITCHES = {  # what each of the models of Hendricks et al. 2016 (section 4) sees, and whether it learns to discriminate
    "definition": (False, True, False),
    "description": (True, False, False),
    "explanation-label": (True, True, False),
    "explanation-dis": (True, False, True),
    "explanation": (True, True, True),
}
VARIANTS = tuple(SWITCHES)


@dataclass(frozen=True)
class Memory:
    """What goes into the next step, for N sentences."""

    static: Mapping[str, Array]  # by input name, (N, …)
    states: Mapping[str, Array]  # by input name, (1, N, hidden)
    begun: bool


class NetworkSpeaker:
    """Says sentences with the one-step network."""

    def __init__(self, network: SequenceNetwork) -> None:
        """Takes a network of one step whose LSTMs expose their hidden states.

        Raises:
            NetworkError: it is another one.
        """
        if network.steps != 1:
            raise NetworkError(f"{network.name}: has {network.steps} steps; one word is said at a time")
        self.network = network
        wanted = {f"{layer}_{state}_before" for layer in LSTMS for state in "hc"}
        if missing := sorted(wanted - set(network.inputs)):
            raise NetworkError(f"{network.name}: has no input {missing[0]!r} for the state of an LSTM")
        self._states = sorted(wanted)

    def begin(self, evidence: Evidence, labels: NDArray[np.int64], variant: str = "explanation") -> Memory:
        """Ready to speak about N pictures, each of the class (N,)."""
        static = static_inputs(evidence, labels, self.network.size("label", 1), variant)
        states = {name: np.zeros((1, len(evidence), self.network.size(name, 2)), np.float32) for name in self._states}
        return Memory(static, states, begun=False)

    def step(self, state: Memory, words: NDArray[np.int64]) -> tuple[NDArray[np.float64], Memory]:
        """Log-probability of each next word, (N, V), and the memory after the words (N,)."""
        count = len(words)
        outputs = self.network.forward(
            {
                "words": words[None].astype(np.float32),
                "cont": np.full((1, count), float(state.begun), np.float32),
                **state.static,
                **state.states,
            }
        )
        after = {name: outputs[name.removesuffix("_before")] for name in self._states}
        return log_probabilities(outputs["scores"][0]), Memory(state.static, after, begun=True)

    def chosen(self, state: Memory, rows: NDArray[np.int64]) -> Memory:
        """The memory of some of the sentences."""
        static = {name: values[rows] for name, values in state.static.items()}
        return Memory(static, {name: values[:, rows] for name, values in state.states.items()}, state.begun)


def static_inputs(evidence: Evidence, labels: NDArray[np.int64], classes: int, variant: str) -> dict[str, Array]:
    """Evidence and class as the network takes them; a model that does not see one of them gets zeros.

    Raises:
        NetworkError: no model has that name, or a class does not exist.
    """
    if variant not in SWITCHES:
        raise NetworkError(f"no generator is named {variant!r}; there are {', '.join(VARIANTS)}")
    if len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise NetworkError(f"classes {labels.min()} to {labels.max()} do not fit a generator for {classes}")
    sees_image, sees_class, _ = SWITCHES[variant]
    arrays = {name: values * np.float32(sees_image) for name, values in evidence.items()}
    return {**arrays, "label": np.eye(classes, dtype=np.float32)[labels] * np.float32(sees_class)}


def long_inputs(
    read: NDArray[np.int64], evidence: Evidence, labels: NDArray[np.int64], classes: int, variant: str
) -> dict[str, Array]:
    """All inputs of the long network for sentences that are read from START on, (T, N)."""
    cont = np.ones(read.shape, np.float32)
    cont[read == START] = 0
    return {"words": read.astype(np.float32), "cont": cont, **static_inputs(evidence, labels, classes, variant)}
