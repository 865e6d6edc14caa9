"""Trains the generator of sentences (Hendricks et al. 2016): relevance loss, then with the discriminative loss."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rationale.captions import spoken_of
from rationale.captions.choose import PARTS, sayable
from rationale.captions.files import Caption, by_picture, check_truth, read_captions
from rationale.captions.make import SPLITS, attributes_of
from rationale.captions.measured import Measured, measured
from rationale.datasets import Dataset, Split
from rationale.errors import DataError, ModelError, OutputError
from rationale.evaluation.probe import fit_probe
from rationale.explainer.decoding import greedy, sample
from rationale.explainer.evidence import Evidence, merged
from rationale.explainer.explainer import Spoken, read_spoken, weights_digest, write_spoken
from rationale.explainer.language import Language, Phrase
from rationale.explainer.losses import discriminative_weights, mean_entropy, relevance_weights, weighted_loss
from rationale.explainer.speaker import LSTMS, SWITCHES, VARIANTS, NetworkSpeaker, long_inputs
from rationale.explainer.vocabulary import PADDING, UNKNOWN, Vocabulary, sentence_of, shifted, tokens_of
from rationale.fetching.digest import file_digest, short_digest
from rationale.model import Model
from rationale.network import SequenceNetwork, Solver, on_threads
from rationale.resources import as_json, write_whole
from rationale.training.definitions import check_definitions
from rationale.training.loop import Progress, Report, folder_of_its_own, last_update, run, seed_of
from rationale.training.original import fit_words
from rationale.training.rewards import (
    SentenceClassifier,
    balanced_rows,
    open_forget_gates,
    train_sentence_classifier,
)

MOST_WEIGHT = 6.0  # how much more a rare value counts than the mean one, at most
CLARITY = 3.0  # how much larger than a share what the projection reads of a value begins
WORDING = 0.25  # weight of a word that goes on with a phrase and tells no value, beside those that do, 1 on average
VALUES = 1.0  # weight of the loss of values beside that of relevance

Array = NDArray[np.float32]
Watch = Callable[[str], Report]  # name of the stage → who is told


@dataclass(frozen=True, eq=False)
class Lessons:
    """What a generator learns from.

    Attributes:
        evidence, labels: of each picture.
        captions: of each picture, as word numbers.
        phrases: what can truly be said of the parts that are seen, by picture and subject; empty without a language.
        vocabulary: the words.
        language: of composed captions, or None.
        classes: labels of the classes.
        identity: what all that was made of.
        weights: how often each picture's captions are learnt from beside its others; alike where None.
        lexicon: word → region, of people's own captions.
    """

    evidence: Evidence
    labels: NDArray[np.int64]
    captions: list[list[tuple[int, ...]]]
    phrases: list[Mapping[str, Sequence[Phrase]]]
    vocabulary: Vocabulary
    language: Language | None
    classes: tuple[str, ...]
    identity: dict[str, str]
    weights: list[list[float]] | None = None
    lexicon: Mapping[str, str] | None = None


def lessons_of(
    model: Model,
    captions: Path,
    report: Callable[[int, int], None] = lambda done, total: None,
    *,
    words_of: Path | None = None,
) -> Lessons:
    """Reads captions and measures the pictures that they are about.

    The words are those of `words_of`, another caption file, where that is given: for generators that are compared.

    Raises:
        DataError: the captions are damaged, lack a class or a picture, or share no word; see `read_captions`.
    """
    how = model.explainer_settings
    dataset, source = spoken_of(model)
    told = read_captions(captions)
    splits = [dataset.split(name) for name in (("train", "val") if how.with_val else ("train",))]
    check_truth(told, _classes_of(dataset), captions)
    ids = [number for split in splits for number in split.ids]
    chosen = by_picture(told, ids, captions)
    texts = [[tokens_of(caption.text) for caption in each] for each in chosen]
    _check_lengths(texts, chosen, SequenceNetwork.load(how.network).steps, captions)
    composed = source.language
    is_composed = composed is not None and any(composed.read(words) is not None for each in texts for words in each)
    language = composed if is_composed else None  # people's own words are not held to it
    counted = texts
    if words_of is not None:
        others = by_picture(read_captions(words_of), ids, words_of)
        counted = [[tokens_of(caption.text) for caption in each] for each in others]
    vocabulary = Vocabulary.of_captions((text for each in counted for text in each), how.minimum_count)
    encoded = [[tuple(vocabulary.encode(text)) for text in each] for each in texts]
    _check_known(encoded, chosen, captions)
    found = [measured(model, split, source, of_labels=True, report=report) for split in splits]
    phrases: list[Mapping[str, Sequence[Phrase]]] = [{} for _ in ids]
    if language is not None:
        both = zip(splits, found, strict=True)
        phrases = [each for split, known in both for each in _true_phrases(split, known, language)]
    return Lessons(
        merged([known.evidence for known in found]),
        np.concatenate([split.labels for split in splits]),
        encoded,
        phrases,
        vocabulary,
        language,
        dataset.classes,
        {
            "captions": file_digest(captions)[:12],
            "pictures": "+".join(split.fingerprint() + split.annotated for split in splits),
            "classifier": model.classifier_fingerprint,
            "composite": model.composite().name,
            "language": short_digest(as_json(language.as_dict()).encode()) if language is not None else "",
            "[explainer] in model.toml": short_digest(repr((how.grid, how.minimum_count)).encode()),
            **({"words": file_digest(words_of)[:12]} if words_of is not None else {}),
        },
        [[caption.weight for caption in each] for each in chosen],
        source.lexicon,
    )


def _classes_of(dataset: Dataset) -> dict[str, str]:
    """The class of every picture of a data set, by its id."""
    splits = [dataset.split(name) for name in SPLITS]
    return {
        number: dataset.classes[label]
        for split in splits
        for number, label in zip(split.ids, split.labels.tolist(), strict=True)
    }


def _check_lengths(
    texts: Sequence[Sequence[Sequence[str]]], chosen: Sequence[Sequence[Caption]], steps: int, path: Path
) -> None:
    for words, captions in zip(texts, chosen, strict=True):
        for tokens, caption in zip(words, captions, strict=True):
            if len(tokens) >= steps:
                raise DataError(
                    f"{path}, line {caption.line}: has {len(tokens)} words; the generator's network has {steps} steps, "
                    "one of them for the end"
                )


def _check_known(encoded: list[list[tuple[int, ...]]], chosen: Sequence[Sequence[Caption]], path: Path) -> None:
    for captions, told in zip(encoded, chosen, strict=True):
        for words, caption in zip(captions, told, strict=True):
            if set(words) <= {UNKNOWN}:
                raise DataError(
                    f"{path}, line {caption.line}: no word of {caption.text!r} comes often enough to be known "
                    "(explainer.minimum_count in model.toml)"
                )


def _true_phrases(split: Split, known: Measured, language: Language) -> list[Mapping[str, Sequence[Phrase]]]:
    found: list[Mapping[str, Sequence[Phrase]]] = []
    for attributes, densities in zip(attributes_of(split), known.densities, strict=True):
        subjects = sayable(language, attributes, densities)
        subjects += [subject for subject in language.subjects if subject not in subjects]
        ways = {subject: language.ways(subject, attributes) for subject in subjects}
        found.append({subject: each for subject, each in ways.items() if each})
    return found


def train_explainer(
    model: Model,
    folder: Path,
    variant: str = "explanation",
    *,
    captions: Path | None = None,
    lessons: Lessons | None = None,
    seed: int | None = None,
    iterations: int | None = None,
    threads: int | None = None,
    shared: Path | None = None,
    fit: bool = False,
    watch: Watch = lambda stage: lambda progress, last: None,
) -> Path:
    """Trains one of the five models and returns the path of explainer.caffemodel; explainer.json lies beside it.

    Goes on from the last snapshot under `folder`, with the same result as an uninterrupted training.

    Args:
        model: with [explainer] in its model.toml.
        folder: for snapshots and results.
        variant: definition, description, explanation-label, explanation-dis or explanation.
        captions: a caption file; the model's own where None.
        lessons: what `lessons_of` made of them, where it is at hand.
        seed: of new weights and of the order of captions; the solver's own where None.
        iterations: stop the relevance loss after so many updates.
        threads: of Caffe's layers and BLAS; all where None.
        shared: where the stages are kept that several of the five models have in common; `folder` where None.
        fit: write the number of words into the model's definitions first.
        watch: given the name of a stage, returns what is told of its progress.

    Raises:
        ModelError: the model has no explainer, or names no solver.
        DataError: captions, vocabulary and networks do not fit.
        OutputError: the folder holds another training, or one that is running.
    """
    how = model.explainer_settings
    if variant not in SWITCHES:
        raise ModelError(f"no generator is named {variant!r}; there are {', '.join(VARIANTS)}")
    wanted = {
        "solver": how.solver,
        "discriminative_solver": how.discriminative_solver,
        "sentence_solver": how.sentence_solver,
    }
    if missing := [name for name, path in wanted.items() if path is None]:
        raise ModelError(f"model {model.name!r}: training wants explainer.{missing[0]} in its model.toml")
    assert how.solver is not None
    assert how.discriminative_solver is not None
    assert how.sentence_solver is not None
    with folder_of_its_own(folder), on_threads(threads) if threads else nullcontext():
        _check_variant(folder, variant)
        known = lessons or lessons_of(model, captions or how.captions)
        if fit:
            fit_words(model, len(known.vocabulary))
        check_definitions(model, known, judged=SWITCHES[variant][2])
        sees = (
            "explanation-label"
            if variant == "explanation"
            else "description"
            if variant == "explanation-dis"
            else variant
        )
        stage = Stage(model, known, (shared or folder) / f"relevance-{sees}", how.solver, sees, seed)
        weights = stage.learn(iterations, watch("relevance loss"))
        if SWITCHES[variant][2]:
            judge = train_sentence_classifier(
                how.sentence_solver,
                (shared or folder) / "sentence-classifier",
                known.identity,
                known.captions,
                known.labels,
                known.vocabulary,
                known.language,
                seed=seed,
                gpu=model.gpu,
                report=watch("sentence classifier"),
            )
            stage = Stage(model, known, folder / "discriminative", how.discriminative_solver, variant, seed)
            weights = stage.learn(None, watch("discriminative loss"), judge=judge, start=weights)
        path = folder / "explainer.caffemodel"
        write_whole(path, weights.read_bytes())
        length, digest = stage.network.steps - 1, weights_digest(path)
        lexicon = {word: part for word, part in (known.lexicon or {}).items() if word in known.vocabulary}
        spoken = Spoken(known.vocabulary, known.language, known.classes, variant, length, digest, lexicon)
        write_spoken(folder / "explainer.json", spoken)
    return path


def _check_variant(folder: Path, variant: str) -> None:
    """Refuses to write one of the five models over another."""
    path = folder / "explainer.json"
    if path.exists() and (found := read_spoken(path).variant) != variant:
        raise OutputError(f"{folder}: holds a generator of the kind {found!r}, not {variant!r}; choose another --out")


class Stage:
    """One training of the long network, by one solver."""

    def __init__(
        self, model: Model, lessons: Lessons, folder: Path, prototxt: Path, variant: str, seed: int | None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.lessons = lessons
        self.folder = folder
        self.prototxt = prototxt
        self.variant = variant
        self.solver = Solver.load(prototxt, folder, seed=seed, gpu=model.gpu)
        self.network = SequenceNetwork.load(prototxt.parent / self.solver.parameter.net, gpu=model.gpu)
        step = SequenceNetwork.load(model.explainer_settings.step, gpu=model.gpu)
        self.solver.lend_weights(self.network)
        self.solver.lend_weights(step)
        self.speaker = NetworkSpeaker(step)
        self.count = self.solver.batch_size("words", 1)
        self.classes = len(lessons.classes)
        self._value_weights = _value_weights(lessons)

    def learn(
        self,
        iterations: int | None,
        report: Report,
        *,
        judge: SentenceClassifier | None = None,
        start: Path | None = None,
    ) -> Path:
        """Makes all updates and returns the path of the weights: with `judge`, half of each batch is sampled."""
        seed = seed_of(self.solver)

        def begin() -> None:
            if start is not None:
                self.solver.begin_with(start)
            else:
                self._begin()

        def update(iteration: int) -> dict[str, float]:
            random = np.random.default_rng((seed, 1, iteration))
            return self._taught(random) if judge is None else self._judged(random, judge)

        def watched(progress: Progress, last: int) -> None:
            if progress.iteration % 100 == 0 or progress.iteration == last:
                progress.remark = self._example()
            report(progress, last)

        run(
            self.solver,
            self.folder,
            {
                **self.lessons.identity,
                "definitions": self.solver.fingerprint(),
                "seed": str(self.solver.parameter.random_seed),
                "variant": self.variant,
                **({"start": file_digest(start)[:12]} if start is not None else {}),
                **({"judge": judge.network.fingerprint()} if judge is not None else {}),
            },
            last_update(self.solver, self.prototxt, iterations),
            update=update,
            begin=begin,
            report=watched,
        )
        path = self.folder / "weights.caffemodel"
        self.solver.save_weights(path)
        return path

    def _begin(self) -> None:
        """Sets the fixed layers, and opens the forget gates."""
        evidence = self.lessons.evidence
        mean, deviation = standard(evidence.where)
        weights = {"where_standard/0": 1 / deviation, "where_standard/1": -mean / deviation}
        channels = np.concatenate([evidence.feature, evidence.relevance], axis=1).astype(np.float64)
        count = self.solver.weights()["components/0"].shape[0]
        weights["components/0"], weights["components/1"] = principal_components(channels, count)
        inputs = np.hstack(
            [
                (evidence.where - mean) / deviation,
                channels @ weights["components/0"].T + weights["components/1"],
                np.eye(self.classes)[self.lessons.labels],
            ]
        )
        weights["projection/0"] = directions_of_values(self.lessons, inputs, self.solver.weights()["projection/0"])
        self.solver.set_weights({name: values.astype(np.float32) for name, values in weights.items()})
        open_forget_gates(self.solver, list(LSTMS))

    def _taught(self, random: np.random.Generator) -> dict[str, float]:
        """An update by the relevance loss and, for a language, the loss of values."""
        lessons = self.lessons
        rows = balanced_rows(lessons.labels, self.count, random)
        half = self.count // 2 if lessons.language is not None else self.count
        sentences = [self._caption(int(row), random) for row in rows[:half]]
        asides = [self._aside(int(row), random) for row in rows[half:]]
        read, said = shifted([*sentences, *(words for words, _ in asides)], self.network.steps)
        weights = np.zeros(said.shape)
        weights[:, :half] = relevance_weights(said[:, :half])
        allowed = None
        if asides:
            allowed = np.ones((*said.shape, len(lessons.vocabulary)), bool)
            chosen = [(place, choice) for place, (_, choices) in enumerate(asides) for choice in choices]
            total = sum(choice.weight for _, choice in chosen) or 1.0
            for place, choice in chosen:
                weights[choice.at, half + place] = VALUES * choice.weight / total
                if choice.words:
                    allowed[choice.at, half + place] = False
                    allowed[choice.at, half + place, list(choice.words)] = True
        return self._updated(read, said, rows, weights, allowed, counted=half)

    def _judged(self, random: np.random.Generator, judge: SentenceClassifier) -> dict[str, float]:
        """An update by both losses: half of the batch as taught, half sampled and rewarded."""
        lessons = self.lessons
        rows = balanced_rows(lessons.labels, self.count, random)
        half = self.count // 2
        taught = [self._caption(int(row), random) for row in rows[:half]]
        spoken = rows[half:]
        begun = self.speaker.begin(lessons.evidence[spoken], lessons.labels[spoken], self.variant)
        length = self.network.steps - 1
        sampled = [each.words for each in sample(self.speaker, begun, len(spoken), length, random)]
        usual = [each.words for each in greedy(self.speaker, begun, len(spoken), length)]
        places = np.arange(len(spoken)), lessons.labels[spoken]
        rewards, baselines = (judge.probabilities(words)[places] for words in (sampled, usual))
        read, said = shifted([*taught, *sampled], self.network.steps)
        weights = np.zeros(said.shape)
        weights[:, :half] = relevance_weights(said[:, :half])
        weights[:, half:] = discriminative_weights(said[:, half:], rewards, baselines)
        return {**self._updated(read, said, rows, weights, None, counted=half), "reward": float(rewards.mean())}

    def _updated(
        self,
        read: NDArray[np.int64],
        said: NDArray[np.int64],
        rows: NDArray[np.int64],
        weights: NDArray[np.float64],
        allowed: NDArray[np.bool_] | None,
        counted: int,
    ) -> dict[str, float]:
        """Makes the update; measures the words of the first `counted` sentences."""
        measured: dict[str, float] = {}

        def gradient(outputs: dict[str, Array]) -> tuple[float, dict[str, Array]]:
            scores = outputs["scores"]
            loss, found = weighted_loss(scores, said, weights, allowed)
            taught = said[:, :counted] != PADDING
            right = scores[:, :counted].argmax(axis=2) == said[:, :counted]
            measured["words, right in training"] = float(right[taught].mean())
            chosen = weights[:, counted:] > 0
            if allowed is not None and chosen.any():
                best = np.where(allowed, scores, -np.inf)[:, counted:].argmax(axis=2) == said[:, counted:]
                measured["values, right in training"] = float(
                    np.average(best[chosen], weights=weights[:, counted:][chosen])
                )
            measured["entropy"] = mean_entropy(scores[:, :counted], said[:, :counted])
            return loss, {"scores": found}

        evidence = self.lessons.evidence[rows]
        inputs = long_inputs(read, evidence, self.lessons.labels[rows], self.classes, self.variant)
        return {"loss": self.solver.update(inputs, gradient), **measured}

    def _caption(self, row: int, random: np.random.Generator) -> tuple[int, ...]:
        """One of a picture's captions, drawn by their weights."""
        captions, weights = self.lessons.captions[row], self.lessons.weights
        if weights is None or len(set(weights[row])) == 1:
            return _any(captions, random)  # type: ignore[no-any-return]
        shares = np.array(weights[row])
        return captions[int(random.choice(len(captions), p=shares / shares.sum()))]

    def _aside(self, row: int, random: np.random.Generator) -> tuple[tuple[int, ...], list["Choice"]]:
        """A sentence about parts drawn by lot, and where in it a value is chosen: only these words are learnt from."""
        language, vocabulary = self.lessons.language, self.lessons.vocabulary
        assert language is not None
        true = self.lessons.phrases[row]
        count = int(random.integers(1, PARTS + 1))
        subjects = [list(true)[number] for number in random.permutation(len(true))[:count]]
        phrases = [_any(true[subject], random) for subject in subjects]
        text = language.compose(
            int(random.integers(len(language.frames))), self.lessons.classes[self.lessons.labels[row]], phrases
        )
        tokens = tokens_of(text)
        reading = language.read(tokens)
        words = tuple(vocabulary.encode(tokens))
        choices = []
        for said in reading.said if reading else ():
            for at in range(said.start, said.end):
                choice = self._choice(said.phrase, tokens[said.start : at], tokens[at], at)
                if choice is not None and words[at] != UNKNOWN:
                    choices.append(choice)
        return words, choices

    def _choice(self, phrase: Phrase, begun: list[str], word: str, at: int) -> "Choice | None":
        """The words among which this one was chosen; None where it tells neither a value nor how a phrase goes on.

        What begins a phrase, and goes on with one that could still be about something else, is compared with other
        words about the same only: which part is spoken of is for the captions to teach.
        """
        language, vocabulary = self.lessons.language, self.lessons.vocabulary
        assert language is not None
        alternatives = language.alternatives(phrase.subject, begun)
        others = [claims for other, claims in alternatives.items() if other != word]
        contradicted = [
            name
            for name, value in sorted(phrase.claims.items())
            if any((name, value) not in claims and any(each == name for each, _ in claims) for claims in others)
        ]
        weight = float(np.mean([self._value_weights[name, phrase.claims[name]] for name in contradicted] or [WORDING]))
        if language.is_about_one(begun):
            return Choice(at, (), weight)
        known = {vocabulary.encode([each])[0] for each in alternatives} - {UNKNOWN}
        return Choice(at, tuple(known), weight) if contradicted and len(known) > 1 else None

    def _example(self) -> str:
        """What is said of a picture now."""
        begun = self.speaker.begin(self.lessons.evidence[:1], self.lessons.labels[:1], self.variant)
        (said,) = greedy(self.speaker, begun, 1, self.network.steps - 1)
        return sentence_of(self.lessons.vocabulary.decode(said.words))


@dataclass(frozen=True)
class Choice:
    """At step `at` one of these words tells the value, or any word where there are none."""

    at: int
    words: tuple[int, ...]
    weight: float


def _any(things: Sequence, random: np.random.Generator):  # type: ignore[no-untyped-def, type-arg]
    return things[int(random.integers(len(things)))]


def _value_weights(lessons: Lessons) -> dict[tuple[str, str], float]:
    """How much a claim counts: the rarer its value among the pictures, the more, up to MOST_WEIGHT; 1 on average."""
    found: dict[tuple[str, str], float] = {}
    counts = Counter(claim for each in lessons.phrases for ways in each.values() for claim in ways[0].claims.items())
    for name in {name for name, _ in counts}:
        values = {claim: count for claim, count in counts.items() if claim[0] == name}
        mean = sum(values.values()) / len(values)
        found |= {claim: min(MOST_WEIGHT, mean / count) for claim, count in values.items()}
    return found


def standard(values: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column; 1 where nothing varies."""
    deviation = values.std(axis=0, dtype=np.float64)
    return values.mean(axis=0, dtype=np.float64), np.where(deviation > 1e-9, deviation, 1.0)


def directions_of_values(lessons: Lessons, inputs: NDArray[np.float64], projection: Array) -> NDArray[np.float64]:
    """The projection to begin with: what a linear probe reads for each value that can be told, then as it was.

    Args:
        lessons: whose phrases say which values are true.
        inputs: of the projection, (N, D).
        projection: (hidden, D), what the filler gave.
    """
    true: dict[str, dict[int, str]] = {}
    for row, ways in enumerate(lessons.phrases):
        for phrases in ways.values():
            for name, value in phrases[0].claims.items():
                true.setdefault(name, {})[row] = value
    probes = [
        fit_probe(inputs[list(values)], list(values.values())).weights.T
        for values in true.values()
        if len(set(values.values())) > 1
    ]
    directions = np.concatenate(probes)[: len(projection)] if probes else np.zeros((0, inputs.shape[1]))
    found = projection.astype(np.float64)
    found[: len(directions)] = CLARITY * directions
    return found


def principal_components(channels: NDArray[np.float64], count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights (count, C) and bias (count,) that give the first principal components of standardised columns.

    They are not whitened; one scale for all gives them a variance of 1 in the mean.
    """
    mean, deviation = standard(channels.astype(np.float32))
    _, sizes, directions = np.linalg.svd((channels - mean) / deviation, full_matrices=False)
    used = min(count, len(sizes))
    basis = np.zeros((count, channels.shape[1]))
    basis[:used] = directions[:used] * np.sign(directions[:used].sum(axis=1, keepdims=True) + 1e-12)
    basis /= max(float(np.sqrt(np.mean(sizes[:used] ** 2) / len(channels))), 1e-12)
    weights = basis / deviation
    return weights, -weights @ mean
