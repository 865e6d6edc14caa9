"""The experiment with sentences: five models, three seeds, captions by heatmap and by lot, and what each says."""

import json
import multiprocessing
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.captions import spoken_of
from rationale.captions.files import by_picture, read_captions
from rationale.captions.make import attributes_of, make_captions
from rationale.captions.measured import Measured, measured, view_regions
from rationale.datasets import Dataset
from rationale.errors import OptionError
from rationale.evaluation.caption_metrics import class_similarities, distinct, field_metrics, ranks
from rationale.evaluation.probe import fit_probe
from rationale.evaluation.sentences import (
    Said,
    all_true,
    balanced_accuracy,
    claims_when_made,
    commonest,
    consistencies,
    parts_named,
    say,
    with_the_others,
)
from rationale.explainer.explainer import Explainer
from rationale.explainer.language import Language
from rationale.explainer.losses import log_probabilities
from rationale.explainer.speaker import VARIANTS, long_inputs
from rationale.explainer.vocabulary import PADDING, UNKNOWN, shifted, tokens_of
from rationale.fetching.digest import file_digest
from rationale.images import save_png
from rationale.model import Model, available_models
from rationale.network import SequenceNetwork
from rationale.render.spoken import Spoken, spoken_sheet
from rationale.reproduce.measure import keep, measurements_directory
from rationale.reproduce.sentence_tables import CREDITS, FEW_CLASSES
from rationale.resources import as_json, write_whole
from rationale.training.explainer import Lessons, lessons_of, principal_components, standard, train_explainer

SEEDS = (1, 2, 3)
LINKED, UNLINKED = "linked", "unlinked"
SHIPPED = "explanation"  # of the five models
SPLIT = "test"
BELIEFS = (0.0, 0.5, 0.7, 0.8, 0.9)

Figures = dict[str, Any]


def reproduce_sentences(name: str, folder: Path, controls: Sequence[str] = (SHIPPED,)) -> Figures:
    """Trains and measures all generators of a model; figures go to docs/measurements, snapshots to `folder`.

    `controls` are those of the five models that are also trained on captions about parts drawn by lot.
    """
    started = time.monotonic()
    if name not in available_models():
        known = ", ".join(each for each in available_models() if Model.load(each).description.explainer is not None)
        raise OptionError(f"the experiment is about the project's own models, {known}, not {name!r}")
    model = Model.load(name)
    how = model.explainer_settings
    if not (how.captions.exists() and how.unlinked.exists()):  # people's own, which do not come with the project
        make_captions(model, how.captions, how.unlinked)
    kinds = {LINKED: VARIANTS, UNLINKED: tuple(controls)}
    jobs = [(name, which, variants, seed, folder) for seed in SEEDS for which, variants in kinds.items()]
    measured_for(model)  # before processes would measure it twice
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        try:
            found = [each for job in pool.map(_train_and_measure, jobs) for each in job]
        except BaseException:  # else the pool would wait for what is going on, many minutes; snapshots are whole
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.kill()
            raise
    if model.explainer is not None and name in CREDITS:
        draw_sentences(model, measurements_directory().parent / "images" / f"{name}-sentences.png")
    figures: Figures = {
        "split": SPLIT,
        "classes": len(model.labels),
        "runs": [each if _is_shipped_kind(each) else _without_sentences(each) for each in found],
        "speed": sentence_speed(model),
        "template": template_figures(model),
        "beliefs": belief_figures(model),
        "seconds": time.monotonic() - started,
    }
    return keep(f"{name}-sentences", figures)


def _is_shipped_kind(run: Figures) -> bool:
    return (run["captions"], run["variant"]) == (LINKED, SHIPPED)


def _without_sentences(run: Figures) -> Figures:
    return {name: value for name, value in run.items() if name not in ("sentences", "consistencies")}


def draw_sentences(model: Model, path: Path) -> Path:
    """Pictures with heatmap and sentence: of each class the middle one by consistency; of few the most and least too.

    Ties go by the order of the test split; what is drawn is what the shipped generator says.
    """
    dataset, source = spoken_of(model)
    split = dataset.split(SPLIT)
    known = measured(model, split, source, of_labels=False)
    assert split.parts is not None
    assert model.explainer is not None
    values = consistencies(parts_named(say(model.explainer, known.evidence, known.labels)), known.densities)
    rows = []
    for label in range(len(dataset.classes)):
        of_class = np.flatnonzero((known.labels == label) & ~np.isnan(values))
        order = of_class[np.argsort(-values[of_class], kind="stable")]
        ends = (0, len(order) // 2, -1) if len(dataset.classes) <= FEW_CLASSES else (len(order) // 2,)
        rows += [int(order[place]) for place in ends]
    regions = [view_regions(model, source, split.parts[row]) for row in rows]
    views = [model.view(split.images[row]) for row in rows]
    found = model.explain_views(views, [split.ids[row] for row in rows], words=False, regions=regions)
    drawn = [
        Spoken(
            each.image,
            each.heatmap,
            each.sentence_pieces(),
            each.regions,
            f"{each.name}, {split.name}: {each.headline}; consistency {each.consistency:.2f}",
        )
        for each in found
    ]
    save_png(spoken_sheet(drawn), path)
    return path


def measured_for(model: Model) -> dict[str, Measured]:
    """What is known of each split: for the label where it is learnt from, for the prediction where it is measured."""
    dataset, source = spoken_of(model)
    return {
        split: measured(model, dataset.split(split), source, of_labels=split != SPLIT)
        for split in ("train", "val", SPLIT)
    }


def _train_and_measure(job: tuple[str, str, Sequence[str], int, Path]) -> list[Figures]:
    """Models of one seed and one kind of captions, in a process of their own, on one thread."""
    name, which, variants, seed, folder = job
    model = Model.load(name)
    how = model.explainer_settings
    lessons = lessons_of(model, how.captions) if which == LINKED else unlinked_lessons(model)
    place = folder / which / f"seed-{seed}"
    found = []
    for variant in variants:
        path = place / variant / "figures.json"
        started = time.monotonic()
        weights = train_explainer(
            model, place / variant, variant, lessons=lessons, seed=seed, threads=1, shared=place / "shared"
        )
        seconds = time.monotonic() - started
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        digest = file_digest(weights)
        if known.get("weights") == digest:
            found.append(known)
            continue
        explainer = Explainer.load(how.step, weights, weights.with_suffix(".json"), width=how.beam, belief=how.belief)
        network = SequenceNetwork.load(how.network, weights)
        figures = {
            "captions": which,
            "seed": seed,
            "variant": variant,
            "weights": digest,
            "seconds": max(seconds, float(known.get("seconds", 0.0))),
            **measure(model, explainer, network),
        }
        write_whole(path, as_json(figures, indent=1))
        found.append(figures)
    return found


def unlinked_lessons(model: Model) -> Lessons:
    """Captions about parts drawn by lot, in the words of those that the heatmap selected."""
    how = model.explainer_settings
    return lessons_of(model, how.unlinked, words_of=how.captions)


def measure(model: Model, explainer: Explainer, network: SequenceNetwork) -> Figures:
    """All figures of one generator on the test split."""
    dataset, source = spoken_of(model)
    split = dataset.split(SPLIT)
    known = measured(model, split, source, of_labels=False)
    labels, densities = known.labels, known.densities
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
        "choices": {},
        "when_said": {},
        "sentences": [" ".join(each.tokens) for each in said],
        "consistencies": [None if np.isnan(value) else round(float(value), 4) for value in own],
    }
    language = explainer.spoken.language
    if language is None:  # people's own words are held to no grammar, and claim no attributes
        return figures | _language_figures(model, explainer, network, known, said)
    attributes = attributes_of(split)
    free = say(explainer, known.evidence, labels, free=True)
    for name, each in (("", said), ("free_", free)):
        figures[f"{name}grammar"] = float(np.mean([one.reading is not None for one in each]))
        figures[f"{name}class_word"] = float(np.mean(_class_right(explainer, each, labels)))
    for name, about in (("", None), *source.checked.items()):
        figures[f"true{name and f' of {name}'}"] = _mean(np.array(all_true(said, attributes, about), np.float64))
    for attribute, shares in explainer.value_shares(known.evidence, labels).items():
        values = list(shares)
        chosen = [values[number] for number in np.argmax([shares[value] for value in values], axis=0)]
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
    hidden = frozenset[str]().union(*(language.class_words.values() if language is not None else ()))
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
    values = logs[(*np.indices(answers.shape), answers)][(answers != PADDING) & (answers != UNKNOWN)]
    return float(np.exp(-values.mean()))


def sentence_speed(model: Model, pictures: int = 20) -> Figures:
    """Seconds that sentences take beyond the heatmap, for one picture, and heatmaps of all words of the best one."""
    dataset, _ = spoken_of(model)
    split = dataset.split(SPLIT)
    if model.explainer is None:
        return {}
    said, pointed = [], []
    (name,) = model.network.inputs
    for row in range(min(pictures, len(split))):
        relevance = model.relevance([model.view(split.images[row])], keep=[name, model.evidence_layer])
        started = time.monotonic()
        ((best, *_),) = model.sentences(relevance)
        said.append(time.monotonic() - started)
        started = time.monotonic()
        model.words(relevance, [best])
        pointed.append(time.monotonic() - started)
    return {**_typical(said), "words": _typical(pointed)}


def _typical(seconds: Sequence[float]) -> Figures:
    return {"median": statistics.median(seconds), "least": min(seconds), "pictures": len(seconds)}


def belief_figures(model: Model) -> list[Figures]:
    """What the shipped generator would say of the validation split if more or less had to be believed."""
    how, (dataset, source) = model.explainer_settings, spoken_of(model)
    if model.explainer is None or source.language is None or not how.belief:
        return []
    split = dataset.split("val")
    known = measured(model, split, source, of_labels=False)
    attributes, found = attributes_of(split), []
    for belief in sorted({*BELIEFS, how.belief}):
        explainer = Explainer(model.explainer.speaker, model.explainer.spoken, width=how.beam, belief=belief)
        said = say(explainer, known.evidence, known.labels)
        truth = {what: all_true(said, attributes, about) for what, about in {"all": None, **source.checked}.items()}
        found.append(
            {
                "belief": belief,
                "pictures": len(said),
                "phrases": float(np.mean([len(each.reading.said) for each in said if each.reading])),
                "true": {what: [int(np.sum(each)), len(each)] for what, each in truth.items()},
                "consistency": _mean(consistencies(parts_named(said), known.densities)),
            }
        )
    return found


def template_figures(model: Model) -> Figures:
    """A template that names the three densest parts (consistent by construction), its attributes by a linear probe."""
    dataset, source = spoken_of(model)
    known = measured_for(model)
    found: Figures = {"choices": {}}
    if source.language is not None:
        found["choices"] = _probed(dataset, source.language, known)
    top = [sorted(each, key=lambda part: -each[part])[:3] for each in known[SPLIT].densities]
    found["consistency"] = _mean(consistencies(top, known[SPLIT].densities))
    return found


def _probed(dataset: Dataset, language: Language, known: Mapping[str, Measured]) -> dict[str, float]:
    """Balanced accuracy of a linear probe for each attribute that can be told."""
    told = {split: attributes_of(dataset.split(split)) for split in ("train", SPLIT)}
    inputs = {split: _inputs(known[split], known["train"]) for split in ("train", SPLIT)}
    found: dict[str, float] = {}
    for attribute in told_attributes(language):
        values = language.values(attribute)
        rows = [row for row, each in enumerate(told["train"]) if each[attribute] in values]
        probe = fit_probe(inputs["train"][rows], [told["train"][row][attribute] for row in rows])
        true = [each[attribute] for each in told[SPLIT]]
        found |= _choices(attribute, probe.choose(inputs[SPLIT]), true, values)
    return found


def _inputs(known: Measured, train: Measured) -> NDArray[np.float64]:
    """The generator's inputs, standardised as the training split is: cells of the grid, 32 principal components."""
    mean, deviation = standard(train.evidence.where)
    channels = [np.hstack([each.evidence.feature, each.evidence.relevance]).astype(float) for each in (train, known)]
    weights, bias = principal_components(channels[0], 32)
    return np.hstack([(known.evidence.where - mean) / deviation, channels[1] @ weights.T + bias])


def _mean(values: NDArray[np.float64]) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))
