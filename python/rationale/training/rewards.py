"""The reward of the discriminative loss: how surely the class is guessed from a sentence that hides the class words."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from rationale.explainer.language import Language
from rationale.explainer.vocabulary import UNKNOWN, Vocabulary, shifted
from rationale.network import SequenceNetwork, Solver
from rationale.training.loop import Report, last_update, run, seed_of

IGNORED = -1  # the label of a step that counts in no loss


class SentenceClassifier:
    """p(class | sentence), read at the sentence's end."""

    def __init__(self, network: SequenceNetwork, vocabulary: Vocabulary, language: Language | None) -> None:
        self.network = network
        self._hidden = hidden_words(vocabulary, language)

    def probabilities(self, sentences: list[tuple[int, ...]]) -> NDArray[np.float64]:
        """Of each class, (N, classes)."""
        read, cont, ends = as_read(sentences, self.network.steps, self._hidden)
        scores = self.network.forward({"words": read.astype(np.float32), "cont": cont})["class"]
        return np.asarray(softmax(scores[ends, np.arange(len(sentences))].astype(np.float64), axis=1))


def hidden_words(vocabulary: Vocabulary, language: Language | None) -> NDArray[np.int64]:
    """Number of each word as the classifier reads it: those that name a class are unknown to it, (V,)."""
    numbers = np.arange(len(vocabulary))
    for words in language.class_words.values() if language else ():
        numbers[vocabulary.encode(words)] = UNKNOWN
    return numbers


def as_read(
    sentences: list[tuple[int, ...]], steps: int, hidden: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """Words up to the end as the classifier reads them, in training and as reward alike.

    Returns:
        words (steps, N) without START, cont (steps, N), and the step at which each ends, (N,).
    """
    _, said = shifted(sentences, steps)
    cont = np.ones(said.shape, np.float32)
    cont[0] = 0
    return hidden[said], cont, np.array([len(each) for each in sentences])


def train_sentence_classifier(
    prototxt: Path,
    folder: Path,
    identity: dict[str, str],
    sentences: list[list[tuple[int, ...]]],
    labels: NDArray[np.int64],
    vocabulary: Vocabulary,
    language: Language | None,
    *,
    seed: int | None = None,
    gpu: int | None = None,
    report: Report = lambda progress, last: None,
) -> SentenceClassifier:
    """Learns to guess the class from captions; goes on from the last snapshot in `folder`.

    Args:
        prototxt: of the solver.
        folder: for snapshots.
        identity: what the captions and the vocabulary are.
        sentences: the captions of each picture, as word numbers.
        labels: the pictures' classes, (N,).
        vocabulary: whose size the network must have.
        language: whose class words are hidden, if the captions are composed.
        seed: instead of the solver's.
        gpu: number of the card; the CPU where None.
        report: as in `training.loop.run`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    solver = Solver.load(prototxt, folder, seed=seed, gpu=gpu)
    network = SequenceNetwork.load(prototxt.parent / solver.parameter.net, gpu=gpu)
    solver.lend_weights(network)
    hidden = hidden_words(vocabulary, language)
    count = solver.batch_size("words", 1)

    def update(iteration: int) -> dict[str, float]:
        random = np.random.default_rng((seed_of(solver), 3, iteration))
        rows = balanced_rows(labels, count, random)
        chosen = [sentences[row][random.integers(len(sentences[row]))] for row in rows]
        read, cont, ends = as_read(chosen, network.steps, hidden)
        answers = np.full(read.shape, IGNORED, np.float32)
        answers[ends, np.arange(count)] = labels[rows]
        loss = solver.step({"words": read.astype(np.float32), "cont": cont, "label": answers})
        return {"loss": loss}

    run(
        solver,
        folder,
        {**identity, "definitions": solver.fingerprint(), "seed": str(seed_of(solver))},
        last_update(solver, prototxt, None),
        update=update,
        begin=lambda: open_forget_gates(solver, ["reader"]),
        report=report,
    )
    return SentenceClassifier(network, vocabulary, language)


def balanced_rows(labels: NDArray[np.int64], count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows drawn so that a class of half another's size comes as often as it would with its square root.

    (Every class equally often would show the few pictures of a small class over and over.)
    """
    shares = 1 / np.sqrt(np.bincount(labels)[labels])
    return np.asarray(random.choice(len(labels), count, p=shares / shares.sum()), np.int64)


def open_forget_gates(solver: Solver, layers: list[str]) -> None:
    """Sets the bias of the forget gates to 1, so that memories last at first (Jozefowicz et al. 2015)."""
    weights = solver.weights()
    for layer in layers:
        bias = weights[f"{layer}/1"]
        hidden = len(bias) // 4
        bias[hidden : 2 * hidden] = 1  # Caffe's order is input, forget, output, signal
    solver.set_weights({f"{layer}/1": weights[f"{layer}/1"] for layer in layers})
