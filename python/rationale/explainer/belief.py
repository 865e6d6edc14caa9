"""How sure the generator is of what it could say: the share of the probability that each value of an attribute has.

A sentence must say something, and what it says of a subject is the most probable, however little that is. The shares
tell how much it is, apart from how the sentence is worded and of what else it speaks.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from rationale.explainer.evidence import Evidence
from rationale.explainer.language import Language
from rationale.explainer.speaker import Memory, NetworkSpeaker
from rationale.explainer.vocabulary import START, Vocabulary

MOST = 3  # subjects that a sentence must tell of

Values = NDArray[np.float64]
Tokens = tuple[int, ...]


def value_shares(
    speaker: NetworkSpeaker,
    vocabulary: Vocabulary,
    language: Language,
    classes: Sequence[str],
    evidence: Evidence,
    labels: NDArray[np.int64],
    variant: str,
    frame: int = 0,
) -> dict[str, dict[str, Values]]:
    """How probable each value of each attribute is where a sentence begins with a phrase that tells the attribute.

    A value's share is that of all phrases that claim it.

    Args:
        speaker: the generator.
        vocabulary: its words, all of the phrases' among them.
        language: whose phrases.
        classes: labels.
        evidence: of N pictures.
        labels: the class that is explained, (N,).
        variant: which of the five models it is.
        frame: that the sentence begins with.

    Returns:
        Attribute → value → (N,); those of an attribute sum to 1.
    """
    spelled = {each: tuple(vocabulary.encode(each)) for each in {phrase.tokens for phrase in language.phrases}}
    told: dict[str, dict[str, list[Tokens]]] = {}
    for phrase in language.phrases:
        for name, value in phrase.claims.items():
            told.setdefault(name, {}).setdefault(value, []).append(spelled[phrase.tokens])
    before = [vocabulary.encode(language.before(frame, label)) for label in classes]
    lengths = np.array([len(before[label]) for label in labels], np.int64)
    begun = speaker.begin(evidence, labels, variant)
    found = {name: {value: np.zeros(len(labels)) for value in values} for name, values in told.items()}
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        memory, words = speaker.chosen(begun, rows), np.full(len(rows), START)
        for step in np.array([before[label] for label in labels[rows]], np.int64).reshape(len(rows), length).T:
            _, memory = speaker.step(memory, words)
            words = step
        logs = _logs_after(speaker, memory, words, sorted(spelled.values()))
        for name, values in told.items():
            shares = _shares(logs, [phrase for phrases in values.values() for phrase in phrases])
            for value, phrases in values.items():
                found[name][value][rows] = np.sum([shares[phrase] for phrase in phrases], axis=0)
    return found


def _logs_after(
    speaker: NetworkSpeaker, memory: Memory, words: NDArray[np.int64], phrases: Sequence[Tokens]
) -> dict[Tokens, Values]:
    """Log-probabilities of the next word behind every beginning of a phrase, (N, V)."""
    count = len(words)
    logs, memory = speaker.step(memory, words)
    found: dict[Tokens, Values] = {(): logs}
    level: list[Tokens] = [()]
    for length in range(1, max(map(len, phrases))):
        longer: list[Tokens] = sorted({each[:length] for each in phrases if len(each) > length})
        rows = np.concatenate([level.index(each[:-1]) * count + np.arange(count) for each in longer])
        said = np.repeat([each[-1] for each in longer], count)
        logs, memory = speaker.step(speaker.chosen(memory, rows), said)  # all of one length
        found.update(zip(longer, logs.reshape(len(longer), count, -1), strict=True))
        level = longer
    return found


def _shares(logs: Mapping[Tokens, Values], phrases: Sequence[Tokens]) -> dict[Tokens, Values]:
    """Of each phrase among these, (N,)."""
    found = {}
    for phrase in phrases:
        total = np.zeros(len(logs[()]))
        for at, word in enumerate(phrase):
            total += logs[phrase[:at]][:, word]
        found[phrase] = total
    whole = logsumexp([found[phrase] for phrase in phrases], axis=0)
    return {phrase: np.exp(total - whole) for phrase, total in found.items()}


def believed(
    language: Language, shares: Mapping[str, Mapping[str, Values]], row: int, least: float, subjects: Collection[str]
) -> Language:
    """The language with those phrases only whose claims about a picture are all believed; with the best, if none is.

    Of two that are, one of which claims all that the other does and more, the one that claims more. All subjects that
    are left are told of, up to MOST.

    Args:
        language: that `shares` were made with.
        shares: from `value_shares`.
        row: number of the picture.
        least: how probable a claim must be among those that tell the same attribute.
        subjects: what is to be spoken of.
    """
    beliefs = {
        number: min((float(shares[name][value][row]) for name, value in phrase.claims.items()), default=1.0)
        for number, phrase in enumerate(language.phrases)
        if phrase.subject in subjects
    }
    sure = [number for number, belief in beliefs.items() if belief >= least]
    chosen = sure or [max(beliefs, key=lambda number: beliefs[number])]
    phrases = [language.phrases[number] for number in chosen]
    most = [each for each in phrases if not any(each.claims.items() < other.claims.items() for other in phrases)]
    return replace(language, phrases=tuple(most), least=min(MOST, len({each.subject for each in most})))
