"""The words of a sentence, each with a heatmap of its own: where in the picture it came from, and how much of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rationale.explainer.evidence import Evidence, over_pixels
from rationale.explainer.explainer import Explainer, Sentence
from rationale.explainer.utterance import Utterance, WordRelevance, WordStart
from rationale.explainer.vocabulary import is_content
from rationale.explanation.accounts import Account, account_of
from rationale.lrp import Composite, Entry, Ledger, Relevance, RelevanceAt, propagate
from rationale.lrp.composites import Bounds
from rationale.network import Network

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Word:
    """A word of a sentence, and where its score came from (Arras et al. 2017, on to the pixels).

    Attributes:
        text: as the generator said it, in lower case.
        place: where it stands in the sentence's text, (start, end) in characters.
        probability: of this word here, after those before it.
        fall: by how much it would be less probable if the picture told nothing (it were the training pictures' mean).
        score: what was distributed, before the softmax; in a contrast less that of the other word.
        heatmap: relevance of each pixel for this word, float32 (H, W).
        relevance_image, relevance_label: how much of the score came from the picture, and from the class.
        relevance_words: from each word read before, the first being the start of the sentence.
        bias, stabiliser: kept by the generator's biases, and by the stabiliser of its cells.
        ledger: step by step from the score to the pixels; the classifier is one row.
        against: the word that it is contrasted with, in a contrast.
        contrast: for a content word, why it and not the most probable other word that could stand here.
    """

    text: str
    place: tuple[int, int]
    probability: float
    fall: float
    score: float
    heatmap: Array
    relevance_image: float
    relevance_label: float
    relevance_words: tuple[float, ...]
    bias: float
    stabiliser: float
    ledger: Sequence[Account]
    against: str | None = None
    contrast: "Word | None" = None

    @property
    def is_content(self) -> bool:
        """Whether it says something of the picture; words such as “it” and “with” only hold the sentence together."""
        return is_content(self.text)

    @property
    def shares(self) -> dict[str, float]:
        """Of the score: `image`, `label`, `words`, `biases` and `stabiliser`, which together are 1."""
        amounts = {
            "image": self.relevance_image,
            "label": self.relevance_label,
            "words": sum(self.relevance_words),
            "biases": self.bias,
            "stabiliser": self.stabiliser,
        }
        return {name: amount / self.score if self.score else 0.0 for name, amount in amounts.items()}

    def summary(self) -> dict[str, object]:
        """What is told of a word at a glance, as plain data."""
        return {
            "text": self.text,
            "against": self.against,
            "start": self.place[0],
            "end": self.place[1],
            "content": self.is_content,
            "probability": self.probability,
            "fall": self.fall,
            "score": self.score,
            "shares": self.shares,
            "contrast": self.contrast.summary() if self.contrast else None,
        }

    def as_dict(self) -> dict[str, object]:
        """Everything but the heatmap as plain data."""
        return {
            **self.summary(),
            "relevance_image": self.relevance_image,
            "relevance_label": self.relevance_label,
            "relevance_words": list(self.relevance_words),
            "bias": self.bias,
            "stabiliser": self.stabiliser,
            "ledger": [vars(account) for account in self.ledger],
            "contrast": self.contrast.as_dict() if self.contrast else None,
        }


def words_of(
    network: Network,
    relevance: Relevance,
    evidence: Evidence,
    explainer: Explainer,
    sentences: Sequence[Sentence | None],
    *,
    layer: str,
    grid: tuple[int, int],
    composite: Composite,
    bounds: Bounds,
    only: Sequence[WordStart] | None = None,
    batch: Array | None = None,
) -> list[tuple[Word, ...]]:
    """The words of one sentence for each picture of the batch that was just explained.

    All words, and all contrasts, start from the forward pass that is there. Relevance of the feature layer's inputs
    goes on through the classifier: a channel's is spread over its places as activation is, and as relevance of the
    class is; that of the grid's cells goes to their pixels.

    Args:
        network: the classifier.
        relevance: of the class, with the feature layer and the input.
        evidence: made of it.
        explainer: which said the sentences.
        sentences: of each picture; no words where None.
        layer, grid: of the evidence.
        composite, bounds: how relevance goes through the classifier.
        only: these words or contrasts, instead of all; none of them is then another's contrast.
        batch: the pictures, preprocessed, where the network has run on others since.
    """
    asked = [
        _Asked.of(explainer, evidence[[number]], int(relevance.targets[number]), sentence, only)
        for number, sentence in enumerate(sentences)
    ]
    (name,) = network.inputs
    most = max((len(each.starts) for each in asked), default=0)
    given = [RelevanceAt(layer, partial(_seed, asked, row, relevance[layer])) for row in range(most)]
    walked = (
        propagate(
            network,
            relevance.forward if batch is None else batch,
            start=given,
            composite=composite,
            bounds=bounds,
            keep=[name],
        )
        if given
        else ()
    )
    spelled = explainer.spoken.vocabulary.words
    found: list[tuple[Word, ...]] = []
    for number, each in enumerate(asked):
        heatmap = relevance[name][number].sum(axis=0)
        told = walked[: len(each.starts)]
        maps = np.array([one[name][number].sum(axis=0, dtype=np.float64) for one in told])
        ledgers = [one.ledger for one in told]
        made = each.words(number, heatmap, maps, ledgers, grid, spelled)
        found.append(tuple(made) if only is not None else _paired(each.starts, made))
    return found


def words_without_maps(
    evidence: Evidence, label: int, explainer: Explainer, sentence: Sentence
) -> tuple[tuple[Word, ...], list[WordStart]]:
    """The words of a sentence about one picture without heatmaps, quickly; and what `words_of` takes as `only`."""
    asked = _Asked.of(explainer, evidence, label, sentence, None)
    nothing = np.zeros((0, 0), np.float32)
    spelled = explainer.spoken.vocabulary.words
    made = [asked.word(row, start, nothing, (), spelled) for row, start in enumerate(asked.starts)]
    return _paired(asked.starts, made), list(asked.starts)


def _paired(starts: Sequence[WordStart], made: Sequence[Word]) -> tuple[Word, ...]:
    """The words, each with its contrast."""
    contrasts = {start.step: word for start, word in zip(starts, made, strict=True) if word.against is not None}
    both = zip(starts, made, strict=True)
    return tuple(replace(word, contrast=contrasts.get(start.step)) for start, word in both if word.against is None)


@dataclass(frozen=True)
class _Asked:
    """One picture's sentence, and why it has its words."""

    sentence: Sentence | None
    utterance: Utterance | None
    starts: Sequence[WordStart]
    relevance: WordRelevance | None

    @classmethod
    def of(
        cls,
        explainer: Explainer,
        evidence: Evidence,
        label: int,
        sentence: Sentence | None,
        only: Sequence[WordStart] | None,
    ) -> Self:
        if sentence is None:
            return cls(None, None, [], None)
        utterance = explainer.utterance(evidence, label, sentence.words)
        starts = explainer.starts(utterance, label) if only is None else only
        return cls(sentence, utterance, starts, utterance.relevance(starts))

    def words(
        self,
        number: int,
        heatmap: Array,
        maps: NDArray[np.float64],
        ledgers: Sequence[Ledger],
        grid: tuple[int, int],
        spelled: Sequence[str],
    ) -> list[Word]:
        if self.relevance is None:
            return []
        of_cells = over_pixels(self.relevance.where, heatmap, grid)
        whole = (maps + of_cells).astype(np.float32)
        made = []
        for row, start in enumerate(self.starts):
            entries = [account_of(entry, row) for entry in self.relevance.entries]
            entries.append(_where_account(float(self.relevance.where[row].sum()), float(of_cells[row].sum())))
            entries.append(_classifier_account(ledgers[row], number, float(maps[row].sum())))
            made.append(self.word(row, start, whole[row], entries, spelled))
        return made

    def word(
        self, row: int, start: WordStart, heatmap: Array, ledger: Sequence[Account], spelled: Sequence[str]
    ) -> Word:
        found, utterance, sentence = self.relevance, self.utterance, self.sentence
        assert found is not None
        assert utterance is not None
        assert sentence is not None
        probability = float(np.exp(utterance.log_probabilities[start.step, start.word]))
        without = float(np.exp(utterance.without_picture[start.step, start.word]))
        return Word(
            text=spelled[start.word],
            place=sentence.places[start.step],
            probability=probability,
            fall=probability - without,
            score=float(found.scores[row]),
            heatmap=heatmap,
            relevance_image=float(found.image[row]),
            relevance_label=float(found.label[row]),
            relevance_words=tuple(float(each) for each in found.read[row, : start.step + 1]),
            bias=float(found.bias[row]),
            stabiliser=float(found.stabiliser[row]),
            ledger=ledger,
            against=None if start.against is None else spelled[start.against],
        )


def _seed(asked: Sequence[_Asked], row: int, relevance: Array, activation: Array) -> Array:
    """What a start begins with at the feature layer, of the layer's shape; 0 for pictures with fewer words."""
    seed = np.zeros(activation.shape, np.float32)
    places = activation[0, 0].size
    shape = (-1, *[1] * (activation.ndim - 2))
    for number, each in enumerate(asked):
        if each.relevance is not None and row < len(each.starts):
            feature = each.relevance.feature[row].reshape(shape) / places  # the evidence is the mean activation
            spoken = each.relevance.relevance[row].reshape(shape)
            seed[number] = feature * activation[number] + spoken * relevance[number]
    return seed


def _where_account(received: float, passed_on: float) -> Account:
    return Account("where", "Grid", "as positive relevance", received, passed_on, 0.0, 0.0, received - passed_on)


def _classifier_account(ledger: Sequence[Entry] | Ledger, number: int, arrived: float) -> Account:
    """All of the classifier below the feature layer as one row."""
    assert isinstance(ledger, Ledger)
    received = float(ledger.start[number])
    bias, stabiliser = (sum(float(getattr(entry, what)[number]) for entry in ledger) for what in ("bias", "stabiliser"))
    residual = received - arrived - bias - stabiliser
    return Account("classifier", "Network", "its composite", received, arrived, bias, stabiliser, residual)


def as_datasets(words: Sequence[Word], *, full: bool) -> Mapping[str, NDArray[Any]]:
    """What explanation.h5 keeps of words, by name in its group `words`.

    `heatmap` and `contrast_heatmap` hold the maps of the words listed in `heatmap_of` and `contrast_of`: all of them
    where `full`, else of content words only.
    """
    mapped = [number for number, word in enumerate(words) if full or word.is_content]
    contrasts = {number: word.contrast for number, word in enumerate(words) if word.contrast is not None}
    shape = words[0].heatmap.shape
    read = np.zeros((len(words), len(words)))
    for number, word in enumerate(words):
        read[number, : len(word.relevance_words)] = word.relevance_words
    numbers = ("probability", "fall", "score", "relevance_image", "relevance_label", "bias", "stabiliser")
    against = [contrasts[number].against or "" if number in contrasts else "" for number in range(len(words))]
    return {
        "text": np.array([word.text for word in words], object),
        "against": np.array(against, object),
        "content": np.array([word.is_content for word in words]),
        **{name: np.array([getattr(word, name) for word in words]) for name in numbers},
        "relevance_words": read,
        "heatmap_of": np.array(mapped, np.int64),
        "heatmap": np.array([words[number].heatmap for number in mapped], np.float32).reshape(-1, *shape),
        "contrast_of": np.array(list(contrasts), np.int64),
        "contrast_heatmap": np.array([each.heatmap for each in contrasts.values()], np.float32).reshape(-1, *shape),
    }
