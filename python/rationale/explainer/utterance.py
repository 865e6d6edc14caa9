"""A sentence that was said, gone through again: what picture, class and earlier words did for each of its words.

The generator's layers are run again in float64, which gives what Caffe gives to float32's precision; a word's score
goes back through the output layer, both LSTMs (Arras et al. 2017) and the projection to the evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rationale.errors import DataError
from rationale.explainer.evidence import FEATURE, RELEVANCE, WHERE, Evidence
from rationale.explainer.losses import log_probabilities
from rationale.explainer.speaker import LSTMS, SWITCHES, static_inputs
from rationale.explainer.vocabulary import START
from rationale.lrp import Entry
from rationale.lrp.recurrent import DEFAULT, Lstm, LstmRun
from rationale.network import SequenceNetwork

Values = NDArray[np.float64]


@dataclass(frozen=True)
class WordStart:
    """The score of a word at a step; less that of `against` there, where given."""

    step: int
    word: int
    against: int | None = None


@dataclass(frozen=True, eq=False)
class WordRelevance:
    """Where the scores of K words went; amounts are (K,), in units of the score.

    Attributes:
        scores: what was distributed: the word's, less that of the word it is contrasted with.
        image: went to the evidence; `where`, `feature` and `relevance` take it further.
        label: went to the class.
        read: went to each word that was read before, (K, T), the first of them the start of the sentence.
        bias, stabiliser: stayed there.
        where: of each cell of the grid, (K, cells).
        feature, relevance: multipliers of the mean activation and of the relevance of each channel, (K, C).
        entries: the accounts, from the scores to the evidence.
    """

    scores: Values
    image: Values
    label: Values
    read: Values
    bias: Values
    stabiliser: Values
    where: Values
    feature: Values
    relevance: Values
    entries: Sequence[Entry]


class Utterance:
    """The words of one sentence, with all that the generator's layers held when they were said."""

    def __init__(
        self, network: SequenceNetwork, evidence: Evidence, label: int, words: Sequence[int], variant: str
    ) -> None:
        """Goes through the words again.

        Args:
            network: the generator, for any number of steps.
            evidence: of one picture.
            label: class that is explained.
            words: numbers of the words that were said, without START and END.
            variant: which of the five models it is.

        Raises:
            DataError: no word, or one that the network does not know.
        """
        self.words = tuple(words)
        self._sees_image, _, _ = SWITCHES[variant]
        get = {name: [np.asarray(each, np.float64) for each in network.parameters(name)] for name in _LAYERS}
        self._embedding = get["embedding"][0]
        if not words or min(words) < 0 or max(words) >= len(self._embedding):
            raise DataError(f"the words {list(words)} are not all of the generator's {len(self._embedding)}")
        self._projection, self._output = get["projection"], get["scores"]
        self._components = get["components"]
        self._lstms = [Lstm.of_blobs(get[name]) for name in LSTMS]
        inputs = static_inputs(evidence, np.array([label]), network.size("label", 1), variant)
        static = {name: values[0].astype(np.float64) for name, values in inputs.items()}
        scale, shift = get["where_standard"]
        self._where = scale * static[WHERE] + shift
        self._channels = np.concatenate([static[FEATURE], static[RELEVANCE]])
        self._label = static["label"]
        summed = self._components[0] @ self._channels + self._components[1]
        self._runs = self._run(np.concatenate([self._where, summed]))

    def _run(self, evidence: Values) -> tuple[LstmRun, LstmRun]:
        """Both LSTMs on standardised evidence, (cells + components,)."""
        static = self._projection[0] @ np.concatenate([evidence, self._label]) + self._projection[1]
        cont = np.ones((len(self.words), 1))
        cont[0] = 0
        language = self._lstms[0].run(self._embedding[[START, *self.words[:-1]]][:, None], cont)
        return language, self._lstms[1].run(language.hidden, cont, static[None])

    @cached_property
    def scores(self) -> Values:
        """Of every word at each step, before the softmax, (T, V)."""
        return self._scores_of(self._runs[1])

    def _scores_of(self, run: LstmRun) -> Values:
        return np.asarray(run.hidden[:, 0] @ self._output[0].T + self._output[1])

    @cached_property
    def log_probabilities(self) -> Values:
        """Of every word at each step, (T, V)."""
        return log_probabilities(self.scores)

    @cached_property
    def without_picture(self) -> Values:
        """The same if the picture were the training pictures' mean, so that it says nothing, (T, V)."""
        if not self._sees_image:
            return self.log_probabilities
        nothing = np.zeros(len(self._where) + len(self._components[1]))
        return log_probabilities(self._scores_of(self._run(nothing)[1]))

    def relevance(self, starts: Sequence[WordStart], stabiliser: str = DEFAULT) -> WordRelevance:
        """Distributes the scores of words, all in one pass back through the sentence.

        Layers other than the LSTMs work by LRP-0. A standardised number hands all its relevance on: what makes it
        differ from the training pictures' mean is the picture's.

        Args:
            starts: K words.
            stabiliser: of the LSTMs' cells, see `lrp.recurrent`.
        """
        language, explanation = self._runs
        steps = np.array([each.step for each in starts])
        rows = np.arange(len(starts))
        slopes, shifts = (self._of_words(starts, values) for values in self._output)
        top = np.zeros((len(self.words), len(starts), slopes.shape[1]))
        top[steps, rows] = slopes
        upper = explanation.relevance(top, stabiliser)
        lower = language.relevance(upper.inputs, stabiliser)
        assert upper.static is not None
        received = self._of_words(starts, self.scores.T, steps)
        hidden = np.einsum("kh,kh->k", slopes, explanation.hidden[steps, 0])
        between = np.einsum("tkh,th->k", upper.inputs, language.hidden[:, 0])
        read = np.einsum("tkd,td->kt", lower.inputs, language.inputs[:, 0])
        m_static = upper.static @ self._projection[0]
        cells, summed = len(self._where), len(self._components[1])
        m_where, m_summed, m_label = np.split(m_static, [cells, cells + summed], axis=1)
        values = self._components[0] @ self._channels + self._components[1]
        where, summed_up = m_where * self._where, m_summed @ values
        label = m_label @ self._label
        projected = where.sum(axis=1) + summed_up + label
        of_projection = upper.static @ self._projection[1]
        m_channels = m_summed @ self._components[0]
        none = np.zeros(len(starts))
        bias = shifts + upper.bias + lower.bias + of_projection
        if not self._sees_image:  # what it was given for a picture is always the same
            bias, where = bias + where.sum(axis=1) + summed_up, np.zeros_like(where)
            m_channels, summed_up = np.zeros_like(m_channels), none
        entries = [
            Entry("scores", "InnerProduct", "LRP-0", received, hidden, shifts, none),
            Entry(LSTMS[1], "LSTM", _RULE, hidden, between + projected + of_projection, upper.bias, upper.stabiliser),
            Entry(LSTMS[0], "LSTM", _RULE, between, read.sum(axis=1), lower.bias, lower.stabiliser),
            Entry("projection", "InnerProduct", "LRP-0", projected + of_projection, projected, of_projection, none),
        ]
        if self._sees_image:
            onward = m_channels @ self._channels
            kept = m_summed @ self._components[1]
            entries.append(Entry("components", "InnerProduct", "LRP-0", summed_up, onward, kept, none))
        feature, relevance = np.split(m_channels, 2, axis=1)
        stabilised = upper.stabiliser + lower.stabiliser
        image = where.sum(axis=1) + summed_up
        return WordRelevance(received, image, label, read, bias, stabilised, where, feature, relevance, tuple(entries))

    @staticmethod
    def _of_words(starts: Sequence[WordStart], values: Values, steps: NDArray[np.int64] | None = None) -> Values:
        """Rows of the words (at their steps), less those of the words that they are contrasted with."""
        at: tuple[NDArray[np.int64], ...] = () if steps is None else (steps,)
        own = values[(np.array([each.word for each in starts]), *at)]
        other = values[(np.array([each.word if each.against is None else each.against for each in starts]), *at)]
        contrasted = np.array([each.against is not None for each in starts])
        return np.asarray(own - other * contrasted.reshape(-1, *[1] * (own.ndim - 1)))


_LAYERS = ("embedding", "projection", "scores", "components", "where_standard", *LSTMS)
_RULE = "signal takes all"
