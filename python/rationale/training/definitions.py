"""Do the definitions of a generator fit what it learns from? Asked before the first update, not after minutes."""

from pathlib import Path
from typing import TYPE_CHECKING

from rationale.errors import DataError, NetworkError
from rationale.explainer.speaker import LSTMS
from rationale.explainer.vocabulary import Vocabulary
from rationale.model import Model
from rationale.network import SequenceNetwork, Solver

if TYPE_CHECKING:
    from rationale.training.explainer import Lessons

# Layers that the training sets or reads, by name.
GENERATOR = ("where_standard", "components", "projection", "embedding", *LSTMS)
JUDGE = ("embedding", "reader")


def check_definitions(model: Model, lessons: "Lessons", *, judged: bool) -> None:
    """Refuses definitions that lack a layer, or are for other words, classes or evidence; `judged`: by sentences too.

    Raises:
        NetworkError: a layer or an input is missing.
        DataError: a size is another.
    """
    how = model.explainer_settings
    evidence, words, classes = lessons.evidence, len(lessons.vocabulary), len(lessons.classes)
    long, step = (SequenceNetwork.load(path, gpu=model.gpu) for path in (how.network, how.step))
    for network, path in ((long, how.network), (step, how.step)):
        _check_layers(network, GENERATOR)
        check_words_fit(network, "embedding", lessons.vocabulary, path)
        _check_outputs(network, "scores", words, "words, as the captions make")
        for name, wanted in (
            ("where", evidence.where.shape[1]),
            ("feature", evidence.feature.shape[1]),
            ("relevance", evidence.relevance.shape[1]),
            ("label", classes),
        ):
            if network.size(name, 1) != wanted:
                raise DataError(f"{path}: the input {name!r} has {network.size(name, 1)} values, not {wanted}")
    if not judged:
        return
    assert how.sentence_solver is not None
    judge = SequenceNetwork.load(Solver.network_of(how.sentence_solver), gpu=model.gpu)
    _check_layers(judge, JUDGE)
    check_words_fit(judge, "embedding", lessons.vocabulary, how.sentence_solver)
    _check_outputs(judge, "class", classes, "classes")
    if judge.steps < long.steps:
        raise DataError(f"{judge.name}: has {judge.steps} steps; the generator's sentences have up to {long.steps}")


def check_words_fit(network: SequenceNetwork, layer: str, vocabulary: Vocabulary, path: Path) -> None:
    """Refuses a network for another number of words.

    Raises:
        DataError: it is.
    """
    known = network.parameters(layer)[0].shape[0]
    if known != len(vocabulary):
        raise DataError(
            f"{network.name}: layer {layer!r} knows {known} words, the captions make {len(vocabulary)}, the four "
            f"special ones included; set input_dim (and num_output of the scores) in the prototxt beside {path.name}"
        )


def _check_layers(network: SequenceNetwork, names: tuple[str, ...]) -> None:
    for name in names:
        network.parameters(name)


def _check_outputs(network: SequenceNetwork, name: str, wanted: int, what: str) -> None:
    if name not in network.outputs:
        raise NetworkError(f"{network.name}: has no output {name!r}; it has {', '.join(network.outputs)}")
    if (found := network.outputs[name][-1]) != wanted:
        raise DataError(f"{network.name}: the output {name!r} has {found} values, not one for each of {wanted} {what}")
