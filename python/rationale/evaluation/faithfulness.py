"""Does the decision rest on what a sentence names? Its parts are blurred away, and as much of what it leaves out.

Every part that a sentence names is blurred, and, to compare, the same area laid over a visible part that it does not
name. Paired in each picture: by how much the class's score falls, and by how much the words that name the part become
less probable, as the generator reads the blurred picture. And the pointing game (Zhang et al. 2018, section 4.1): does
a word's own heatmap peak inside its part?
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rationale.datasets import Split
from rationale.evaluation.blurring import blurred_views, smoothed
from rationale.evaluation.estimate import Estimate, estimate
from rationale.explainer.evidence import Evidence
from rationale.explainer.explainer import Explainer, Mention, Sentence
from rationale.explainer.vocabulary import is_content
from rationale.explanation.words import words_of
from rationale.images import Pixels
from rationale.lrp import propagate
from rationale.model import Model

Mask = NDArray[np.bool_]
Regions = Callable[[int], Mapping[str, Mask]]


@dataclass(frozen=True)
class Said:
    """What one generator said of each picture, by its row in the split."""

    explainer: Explainer
    sentences: Mapping[int, Sentence]


@dataclass
class _Found:
    """Numbers of one generator, a list entry for each picture."""

    named: list[float] = field(default_factory=list)
    unnamed: list[float] = field(default_factory=list)
    word_named: list[float] = field(default_factory=list)
    word_unnamed: list[float] = field(default_factory=list)
    hits: list[float] = field(default_factory=list)
    contrast_hits: list[float] = field(default_factory=list)
    chances: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class _Look:
    """What classifier and heatmap say of a picture, or of it with a region blurred."""

    score: float
    evidence: Evidence


class Trials:
    """Blurs parts of the pictures of a split; what was looked at for one generator serves the others."""

    def __init__(self, model: Model, split: Split, regions: Regions) -> None:
        self.model = model
        self.split = split
        self.regions = regions
        self._views: dict[int, Pixels] = {}
        self._known: dict[tuple[int, str, str], _Look] = {}

    def measure(
        self,
        said: Said,
        rows: Sequence[int],
        labels: Mapping[int, int],
        report: Callable[[int], None] = lambda done: None,
    ) -> dict[str, object]:
        """Figures of one generator over some pictures.

        Args:
            said: by it.
            rows: of the pictures.
            labels: the class that is explained, by row.
            report: called with the number of pictures done.

        Returns:
            Estimates as [mean, low, high, count]: `class_named`, `class_unnamed` (falls of the class's score),
            `class_difference` (paired), the same for `word_…` (falls of log-probability, in nats), `pointing`,
            `contrast_pointing` (shares of words whose heatmap peaks inside its part) and their `chance` (the part's
            share of the picture).
        """
        found = _Found()
        for done, row in enumerate(rows, 1):
            if row in said.sentences:
                self._measure_one(said, row, labels[row], found)
            report(done)
        return {
            "class_named": _shown(found.named),
            "class_unnamed": _shown(found.unnamed),
            "class_difference": _shown(np.subtract(found.named, found.unnamed)),
            "word_named": _shown(found.word_named),
            "word_unnamed": _shown(found.word_unnamed),
            "word_difference": _shown(np.subtract(found.word_named, found.word_unnamed)),
            "pointing": _shown(found.hits),
            "contrast_pointing": _shown(found.contrast_hits),
            "chance": float(np.mean(found.chances)) if found.chances else None,
        }

    def _measure_one(self, said: Said, row: int, label: int, found: _Found) -> None:
        sentence, regions = said.sentences[row], self.regions(row)
        mentions = [each for each in sentence.mentions if each.part in regions]
        unnamed = sorted(set(regions) - set(sentence.parts))
        plain = self._look(row, label, None, "", "")
        before = said.explainer.utterance(plain.evidence, label, sentence.words)
        falls: list[tuple[float, float, float, float]] = []
        for number, mention in enumerate(mentions):
            if not unnamed or mention.part is None:
                continue
            mask = regions[mention.part]
            other = unnamed[np.random.default_rng((row, number)).integers(len(unnamed))]
            steps = content_steps(sentence, mention)
            pair = []
            for place, region in (("", mask), (other, moved_onto(mask, regions[other]))):
                look = self._look(row, label, region, mention.part, place)
                after = said.explainer.utterance(look.evidence, label, sentence.words)
                words = [float(u.log_probabilities[step, u.words[step]]) for u in (before, after) for step in steps]
                pair += [plain.score - look.score, float(np.mean(words[: len(steps)]) - np.mean(words[len(steps) :]))]
            falls.append((pair[0], pair[2], pair[1], pair[3]))
        if falls:
            means = np.mean(falls, axis=0).tolist()
            for values, mean in zip(
                (found.named, found.unnamed, found.word_named, found.word_unnamed), means, strict=True
            ):
                values.append(mean)
        self._point(said, row, label, mentions, regions, found)

    def _point(
        self,
        said: Said,
        row: int,
        label: int,
        mentions: Sequence[Mention],
        regions: Mapping[str, Mask],
        found: _Found,
    ) -> None:
        """The pointing game with the words of this picture's sentence."""
        sentence, model = said.sentences[row], self.model
        parts = {step: mention.part for mention in mentions for step in content_steps(sentence, mention)}
        if not parts:
            return
        (name,) = model.network.inputs
        relevance = model.relevance([self._view(row)], label, keep=[name, model.evidence_layer])
        evidence = model.evidence(relevance)
        utterance = said.explainer.utterance(evidence, label, sentence.words)
        starts = [each for each in said.explainer.starts(utterance, label) if each.step in parts]
        (words,) = words_of(
            model.network, relevance, evidence, said.explainer, [sentence],
            layer=model.evidence_layer, grid=model.explainer_settings.grid, composite=model.composite(),
            bounds=model.bounds, only=starts,
        )  # fmt: skip
        plain: list[bool] = []
        contrasts: list[bool] = []
        for start, word in zip(starts, words, strict=True):
            region = regions[parts[start.step] or ""]
            (plain if start.against is None else contrasts).append(peaks_inside(word.heatmap, region))
            if start.against is None:
                found.chances.append(float(region.mean()))
        found.hits.append(float(np.mean(plain)))
        if contrasts:
            found.contrast_hits.append(float(np.mean(contrasts)))

    def _view(self, row: int) -> Pixels:
        if row not in self._views:
            self._views[row] = self.model.view(self.split.images[row])
        return self._views[row]

    def _look(self, row: int, label: int, mask: Mask | None, part: str, place: str) -> _Look:
        key = (row, part, place)
        if key not in self._known:
            model, view = self.model, self._view(row)
            (name,) = model.network.inputs
            relevance = propagate(
                model.network,
                model.preprocess([view]) if mask is None else blurred_views(model, view, [mask]),
                label,
                composite=model.composite(),
                bounds=model.bounds,
                target_layer=model.target_layer,
                keep=[name, model.evidence_layer],
            )
            self._known[key] = _Look(float(relevance.scores[0]), model.evidence(relevance))
        return self._known[key]


def content_steps(sentence: Sentence, mention: Mention) -> list[int]:
    """The content words of a phrase, by their step."""
    return [
        step
        for step, (word, (start, end)) in enumerate(zip(sentence.words, sentence.places, strict=True))
        if mention.start <= start and end <= mention.end and is_content(word)
    ]


def moved_onto(mask: Mask, other: Mask) -> Mask:
    """A region moved so that its centre lies on that of another; what leaves at one side comes in at the other."""
    shift = [round(float(np.mean(b) - np.mean(a))) for a, b in zip(np.nonzero(mask), np.nonzero(other), strict=True)]
    return np.roll(mask, shift, axis=(0, 1))


def peaks_inside(heatmap: NDArray[np.floating], region: Mask) -> bool:
    """Whether positive relevance, blurred a little, is highest inside a region."""
    values = smoothed(heatmap)
    return bool(values.any() and region.ravel()[int(values.argmax())])


def _shown(values: Sequence[float] | NDArray[np.float64]) -> list[float] | None:
    if not len(values):
        return None
    found: Estimate = estimate(np.asarray(values, np.float64))
    return [found.mean, found.low, found.high, found.count]
