"""Why this class and not that one, in words that are checked on the picture before they are said."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rationale.errors import ModelError
from rationale.evaluation.blurring import densest, margin_without
from rationale.explainer.evidence import Evidence
from rationale.explainer.explainer import Explainer, Sentence
from rationale.explainer.language import Language, Phrase
from rationale.explainer.utterance import WordStart
from rationale.explainer.vocabulary import sentence_of, tokens_of
from rationale.explanation import Explanation
from rationale.explanation.why_not import Difference, WhyNot
from rationale.images import Pixels
from rationale.lrp import Relevance
from rationale.lrp.composites import Composite
from rationale.model import Model

Regions = Mapping[str, NDArray[np.bool_]]

RUNNER_UP = "runner-up"
MOST_NAMED = 3  # things that would have to be otherwise, in a sentence


def with_why_not(
    model: Model,
    explanation: Explanation,
    other: str,
    *,
    composite: str | Composite | None = None,
) -> Explanation:
    """The explanation with why it is not another class.

    Args:
        model: with a trained explainer.
        explanation: of one class.
        other: a class, or "runner-up" for the most probable other one.
        composite: of the explanation; the model's own where None.

    Raises:
        ModelError: the model has no trained explainer, or the class does not exist.
    """
    check_why_not(model, other)
    label = explanation.target_index
    number = _runner_up(explanation, model) if other == RUNNER_UP else model.class_number(other)
    if number == label:
        return explanation
    return replace(
        explanation, why_not=why_not(model, explanation.image, label, number, explanation.regions, composite)
    )


def check_why_not(model: Model, other: str) -> None:
    """Refuses what cannot be asked.

    Raises:
        ModelError: the model has no trained explainer, or the class does not exist.
    """
    if model.explainer is None:
        raise ModelError(
            f"model {model.name!r} has no trained explainer, so that it cannot say why not; `--against` shows where"
        )
    if other != RUNNER_UP:
        model.class_number(other)


def _runner_up(explanation: Explanation, model: Model) -> int:
    return next(model.labels.index(label) for label, _ in explanation.classes if label != explanation.target)


def why_not(
    model: Model,
    view: Pixels,
    label: int,
    other: int,
    regions: Regions | None = None,
    composite: str | Composite | None = None,
) -> WhyNot:
    """Compares what the generator says for two classes, and asks the classifier whether the picture bears it out.

    For each attribute of which other things would be said of the other class: its part (or, of a picture whose parts
    are not known, where the word that tells it points, rather than the other class's word) is blurred away. Only if
    that lowers the margin of the two scores, and by more than blurring as much elsewhere, is the attribute named.

    Args:
        model: with a trained explainer.
        view: as `Model.view` gives it.
        label, other: the class that is explained, and the other.
        regions: bool (H, W) of each part, where known.
        composite: how relevance goes.
    """
    explainer = model.explainer
    if explainer is None:
        raise ModelError(f"model {model.name!r} has no trained explainer")
    margin = model.relevance([view], label, against=other, composite=composite)
    (name,) = model.network.inputs
    heatmap = margin[name][0].sum(axis=0)
    other_relevance = model.relevance([view], other, composite=composite)
    (others,) = model.sentences(other_relevance, 1)
    evidence_other = model.evidence(other_relevance)
    relevance = model.relevance([view], label, composite=composite)
    evidence = model.evidence(relevance)
    known = regions or {}
    differences: list[Difference] = []
    language = explainer.spoken.language
    if language is not None:
        for phrase, instead, attribute in _differences(explainer, language, evidence, evidence_other, label, other):
            region = known.get(phrase.part or "")
            if region is None and instead.part is not None and phrase.part is None:
                region = known.get(instead.part)
            is_known = region is not None and bool(region.any())
            if not is_known:
                pointed = _pointed(model, explainer, relevance, evidence, label, phrase, instead, composite, view)
                region = densest(pointed) if pointed is not None else None
            differences.append(_checked(model, view, label, other, attribute, phrase, instead, region, is_known))
    differences.sort(key=lambda each: (not each.holds, -(each.fall or 0.0)))
    text, remark = _said(explainer, language, label, other, differences)
    return WhyNot(
        model.labels[label],
        model.labels[other],
        others[0].text if others else None,
        float(margin.scores[0]),
        heatmap,
        tuple(differences),
        text,
        remark,
    )


def _differences(
    explainer: Explainer, language: Language, evidence: Evidence, of_other: Evidence, label: int, other: int
) -> list[tuple[Phrase, Phrase, str]]:
    """Phrases about the same subject for both classes that differ in one attribute, and that attribute.

    What is said of the class itself is believed.
    """
    shares, of_others = explainer.value_shares(evidence, [label]), explainer.value_shares(of_other, [other])
    own = {name: max(values, key=lambda value: float(values[value][0])) for name, values in shares.items()}
    found = []
    for attribute, value in own.items():
        instead = max(of_others[attribute], key=lambda each: float(of_others[attribute][each][0]))
        if value == instead or shares[attribute][value][0] < explainer.belief:
            continue
        subject = next(phrase.subject for phrase in language.phrases if attribute in phrase.claims)
        ways = [way for way in language.ways(subject, own) if attribute in way.claims]
        others = [way for way in language.ways(subject, {**own, attribute: instead}) if attribute in way.claims]
        if ways and others:
            found.append((ways[0], _alike(ways[0], others), attribute))
    return found


def _alike(phrase: Phrase, others: list[Phrase]) -> Phrase:
    """The phrase that has most words in common with another one."""
    return max(others, key=lambda each: sum(a == b for a, b in zip(phrase.tokens, each.tokens, strict=False)))


def _pointed(
    model: Model,
    explainer: Explainer,
    relevance: Relevance,
    evidence: Evidence,
    label: int,
    phrase: Phrase,
    instead: Phrase,
    composite: str | Composite | None,
    view: Pixels,
) -> NDArray[np.float32] | None:
    """Where the word points that tells the one value rather than the other; None where a word is not known."""
    language = explainer.spoken.language
    assert language is not None
    tokens = tokens_of(language.compose(0, model.labels[label], [phrase]))
    begin = len(language.before(0, model.labels[label]))
    at = next((n for n, (a, b) in enumerate(zip(phrase.tokens, instead.tokens, strict=False)) if a != b), 0)
    vocabulary = explainer.spoken.vocabulary
    if any(word not in vocabulary for word in (*tokens, instead.tokens[at])):
        return None
    own, rival = vocabulary.encode([phrase.tokens[at], instead.tokens[at]])
    sentence = Sentence("", tuple(tokens), 0.0, (), tuple((0, 0) for _ in tokens))
    start = WordStart(begin + at, own, rival)
    batch = model.preprocess([view])
    ((word,),) = model.words(relevance, [sentence], composite, only=[start], batch=batch)
    return word.heatmap


def _checked(
    model: Model,
    view: Pixels,
    label: int,
    other: int,
    attribute: str,
    phrase: Phrase,
    instead: Phrase,
    region: NDArray[np.bool_] | None,
    known: bool,
) -> Difference:
    fall = elsewhere = None
    holds = False
    if region is not None and region.any():
        found = margin_without(model, view, region, label, other)
        fall, elsewhere, holds = found.fall, found.elsewhere, found.holds
    return Difference(
        attribute, phrase.claims[attribute], instead.claims[attribute], phrase.text, instead.text,
        known, fall, elsewhere, holds,
    )  # fmt: skip


def _said(
    explainer: Explainer, language: Language | None, label: int, other: int, differences: list[Difference]
) -> tuple[str | None, str | None]:
    """The counterfactual, or why there is none."""
    classes = explainer.spoken.classes
    if language is None:
        return None, "The generator speaks people's own words, which name no attributes to compare."
    if not differences:
        return None, "The generator would tell the same of both classes here."
    held = [each for each in differences if each.holds]
    if not held:
        named = ", ".join(dict.fromkeys(each.phrase for each in differences))
        return None, (
            f"Nothing is said of what would have to be otherwise: blurring away {named} lowers the score no more than "
            "blurring as much elsewhere."
        )
    pairs = dict([_together(language, each) for each in _by_subject(language, held)[:MOST_NAMED]])
    text = f"it would be {language.nouns[classes[other]]} if it had {_listed(pairs.values())} instead of "
    return sentence_of(tokens_of(text + _listed(pairs)), language.spelling), None


def _by_subject(language: Language, held: list[Difference]) -> list[list[Difference]]:
    """Those about one subject together, in the order in which the subjects come."""
    found: dict[str, list[Difference]] = {}
    for each in held:
        subject = next(phrase.subject for phrase in language.phrases if phrase.text == each.phrase)
        found.setdefault(subject, []).append(each)
    return list(found.values())


def _together(language: Language, held: list[Difference]) -> tuple[str, str]:
    """What is said of one subject, and what would have to be: all that differs in one phrase."""
    if len(held) == 1:
        return held[0].phrase, held[0].other_phrase
    own = next(phrase for phrase in language.phrases if phrase.text == held[0].phrase)
    wanted = {**own.claims, **{each.attribute: each.other_value for each in held}}
    ways = language.ways(own.subject, wanted)
    return own.text, _alike(own, ways).text if ways else held[0].other_phrase


def _listed(phrases: Iterable[str]) -> str:
    texts = list(phrases)
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
