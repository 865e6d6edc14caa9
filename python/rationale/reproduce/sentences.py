"""The experiment with sentences: five models, three seeds, captions by heatmap and by lot, and what each says."""

import json
import multiprocessing
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.captions import Source, caption_source
from rationale.captions.files import by_picture, read_captions
from rationale.captions.make import attributes_of
from rationale.captions.measured import Measured, measured
from rationale.consistency import consistency
from rationale.datasets import dataset_of
from rationale.evaluation.caption_metrics import class_similarities, distinct, field_metrics, ranks
from rationale.evaluation.probe import fit_probe
from rationale.evaluation.sentences import (
    Said,
    balanced_accuracy,
    claims_when_made,
    commonest,
    consistencies,
    parts_named,
    say,
    value_probabilities,
    with_the_others,
)
from rationale.explainer.explainer import Explainer
from rationale.explainer.language import Language
from rationale.explainer.losses import log_probabilities
from rationale.explainer.speaker import VARIANTS, long_inputs
from rationale.explainer.vocabulary import PADDING, shifted, tokens_of
from rationale.model import Model
from rationale.network import SequenceNetwork
from rationale.reproduce.measure import keep
from rationale.resources import write_whole
from rationale.training.explainer import lessons_of, principal_components, standard, train_explainer

SEEDS = (1, 2, 3)
LINKED, UNLINKED = "linked", "unlinked"
SPLIT = "test"

Figures = dict[str, Any]


def reproduce_sentences(name: str, folder: Path) -> Figures:
    """Trains and measures all generators of a model; figures go to docs/measurements, snapshots to `folder`."""
    started = time.monotonic()
    model = Model.load(name)
    jobs = [(name, which, seed, folder) for seed in SEEDS for which in (LINKED, UNLINKED)]
    measured_for(model, caption_source(dataset_of(model).name))  # before processes would measure it twice
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = [each for job in pool.map(_train_and_measure, jobs) for each in job]
    figures: Figures = {
        "split": SPLIT,
        "runs": found,
        "template": template_figures(model),
        "seconds": time.monotonic() - started,
    }
    return keep(f"{name}-sentences", figures)


def measured_for(model: Model, source: Source) -> dict[str, Measured]:
    """What is known of each split: for the label where it is learnt from, for the prediction where it is measured."""
    dataset = dataset_of(model)
    return {
        split: measured(model, dataset.split(split), source, of_labels=split != SPLIT)
        for split in ("train", "val", SPLIT)
    }


def _train_and_measure(job: tuple[str, str, int, Path]) -> list[Figures]:
    """The five models of one seed and one kind of captions, in a process of their own, on one thread."""
    name, which, seed, folder = job
    model = Model.load(name)
    how = model.explainer_settings
    lessons = lessons_of(model, how.captions if which == LINKED else how.unlinked)
    place = folder / which / f"seed-{seed}"
    found = []
    for variant in VARIANTS:
        path = place / variant / "figures.json"
        started = time.monotonic()
        weights = train_explainer(
            model, place / variant, variant, lessons=lessons, seed=seed, threads=1, shared=place / "shared"
        )
        seconds = time.monotonic() - started
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        explainer = Explainer.load(how.step, weights, weights.with_suffix(".json"), width=how.beam)
        network = SequenceNetwork.load(how.network, weights)
        figures = {
            "captions": which,
            "seed": seed,
            "variant": variant,
            "seconds": max(seconds, float(known.get("seconds", 0.0))),
            **measure(model, explainer, network),
        }
        write_whole(path, json.dumps(figures, ensure_ascii=False, indent=1))
        found.append(figures)
    return found


def measure(model: Model, explainer: Explainer, network: SequenceNetwork) -> Figures:
    """All figures of one generator on the test split."""
    dataset = dataset_of(model)
    split = dataset.split(SPLIT)
    known = measured(model, split, caption_source(dataset.name), of_labels=False)
    attributes, labels, densities = attributes_of(split), known.labels, known.densities
    said = say(explainer, known.evidence, labels)
    named = parts_named(said)
    order = np.random.default_rng(1).permutation(len(known))
    elsewhere = parts_named(say(explainer, known.evidence[order], labels))
    own = consistencies(named, densities)
    figures: Figures = {
        "consistency": _mean(own),
        "shuffled": _mean(consistencies(elsewhere, densities)),
        "commonest": _mean(consistencies(commonest(named, labels), densities)),
        "others": _mean(with_the_others(named, densities, labels)),
        "grammar": float(np.mean([each.reading is not None for each in said])),
        "class_word": float(np.mean(_class_right(explainer, said, labels))),
        "choices": {},
        "when_said": {},
        "sentences": [" ".join(each.tokens) for each in said],
        "consistencies": [None if np.isnan(value) else round(float(value), 4) for value in own],
    }
    assert explainer.spoken.language is not None
    for attribute in told_attributes(explainer.spoken.language):
        values, shares = value_probabilities(explainer, known.evidence, labels, attribute)
        chosen = [values[number] for number in shares.argmax(axis=1)]
        figures["choices"] |= _choices(attribute, chosen, [each[attribute] for each in attributes], values)
        right = claims_when_made(said, attributes, attribute)
        figures["when_said"][attribute] = [int(np.sum(right)), len(right)]
    return figures | _language_figures(model, explainer, network, known, said)


def told_attributes(language: Language) -> list[str]:
    """The attributes that phrases tell, in the order of telling."""
    return list(dict.fromkeys(name for phrase in language.phrases for name in phrase.claims))


def _choices(attribute: str, chosen: Sequence[str], true: Sequence[str], values: Sequence[str]) -> dict[str, float]:
    """Balanced accuracy over the values that can be told; of windows also multiple or not, as in the paper."""
    rows = [row for row, value in enumerate(true) if value in values]
    picked, real = [chosen[row] for row in rows], [true[row] for row in rows]
    found = {attribute: balanced_accuracy(picked, real)}
    if attribute == "windows":
        both = ([("multiple" if each == "multiple" else "not") for each in side] for side in (picked, real))
        found["windows, multiple or not"] = balanced_accuracy(*both)
    return found


def _class_right(explainer: Explainer, said: Sequence[Said], labels: NDArray[np.int64]) -> list[bool]:
    language, classes = explainer.spoken.language, explainer.spoken.classes
    assert language is not None
    return [language.label_of(each.tokens) == classes[label] for each, label in zip(said, labels, strict=True)]


def _language_figures(
    model: Model, explainer: Explainer, network: SequenceNetwork, known: Measured, said: Sequence[Said]
) -> Figures:
    """Metrics against the captions that the heatmap selected, whatever was learnt from."""
    captions = read_captions(model.explainer_settings.captions)
    chosen = by_picture(captions, known.ids, model.explainer_settings.captions)
    references = [[tokens_of(caption.text) for caption in each] for each in chosen]
    sentences = [each.tokens for each in said]
    language = explainer.spoken.language
    assert language is not None
    hidden = frozenset().union(*language.class_words.values())
    classes = explainer.spoken.classes
    of_class = {
        number: [_without(tokens_of(each.text), hidden) for each in captions if each.label == label]
        for number, label in enumerate(classes)
    }
    likeness = class_similarities([_without(tokens, hidden) for tokens in sentences], of_class)
    rows = np.arange(len(sentences))
    return {
        **field_metrics(sentences, references),
        "class_similarity": float(likeness[rows, known.labels].mean()),
        "class_rank": float(ranks(likeness, known.labels).mean()),
        "distinct": distinct(sentences),
        "perplexity": perplexity(explainer, network, known, [each[0] for each in references]),
    }


def _without(tokens: Sequence[str], hidden: frozenset[str]) -> list[str]:
    return [token for token in tokens if token not in hidden]


def perplexity(
    explainer: Explainer, network: SequenceNetwork, known: Measured, references: Sequence[Sequence[str]]
) -> float:
    """exp of the mean −log p of a reference's word, its end included; unknown words do not count."""
    spoken = explainer.spoken
    numbers = [spoken.vocabulary.encode(tokens) for tokens in references]
    read, answers = shifted(numbers, network.steps)
    inputs = long_inputs(read, known.evidence, known.labels, len(spoken.classes), spoken.variant)
    logs = log_probabilities(network.forward(inputs)["scores"])
    values = logs[(*np.indices(answers.shape), answers)][(answers != PADDING)]
    return float(np.exp(-values.mean()))


def template_figures(model: Model) -> Figures:
    """A template that names the three densest parts (consistent by construction), its attributes by a linear probe."""
    dataset = dataset_of(model)
    source = caption_source(dataset.name)
    known = measured_for(model, source)
    told = {split: attributes_of(dataset.split(split)) for split in ("train", SPLIT)}
    inputs = {split: _inputs(known[split], known["train"]) for split in ("train", SPLIT)}
    found: Figures = {"choices": {}}
    for attribute in told_attributes(source.language):
        values = source.language.values(attribute)
        rows = [row for row, each in enumerate(told["train"]) if each[attribute] in values]
        probe = fit_probe(inputs["train"][rows], [told["train"][row][attribute] for row in rows])
        true = [each[attribute] for each in told[SPLIT]]
        found["choices"] |= _choices(attribute, probe.choose(inputs[SPLIT]), true, values)
    top = [sorted(each, key=lambda part: -each[part])[:3] for each in known[SPLIT].densities]
    found["consistency"] = _mean(
        np.array([_or_nan(each, parts) for each, parts in zip(known[SPLIT].densities, top, strict=True)])
    )
    return found


def _or_nan(densities: Mapping[str, float], parts: Sequence[str]) -> float:
    value = consistency(densities, parts)
    return float("nan") if value is None else value


def _inputs(known: Measured, train: Measured) -> NDArray[np.float64]:
    """The generator's inputs, standardised as the training split is: cells of the grid, 32 principal components."""
    mean, deviation = standard(train.evidence.where)
    channels = [np.hstack([each.evidence.feature, each.evidence.relevance]).astype(float) for each in (train, known)]
    weights, bias = principal_components(channels[0], 32)
    return np.hstack([(known.evidence.where - mean) / deviation, channels[1] @ weights.T + bias])


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
