"""The losses of the generator, as weights of words: both are Σ weight · −log p(word), and so is their gradient's form.

Relevance loss (Hendricks et al. 2016, eq. 1): every word of the caption counts alike. Discriminative loss (eq. 3 and 5,
by REINFORCE, Williams 1992): a sampled sentence's words weigh as much as its reward is above a baseline, here that of
the most probable sentence (self-critical, Rennie et al. 2017, eq. 7).
"""

import numpy as np
from numpy.typing import NDArray

from rationale.explainer.vocabulary import PADDING

Array = NDArray[np.float32]
Words = NDArray[np.int64]


def log_probabilities(scores: NDArray[np.floating], allowed: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """Log-softmax over the last axis; over the words that `allowed` names, where given, and −∞ elsewhere."""
    values = scores.astype(np.float64)
    if allowed is not None:
        values = np.where(allowed, values, -np.inf)
    values = values - values.max(axis=-1, keepdims=True)
    return np.asarray(values - np.log(np.exp(values).sum(axis=-1, keepdims=True)))


def weighted_loss(
    scores: Array, said: Words, weights: NDArray[np.float64], allowed: NDArray[np.bool_] | None = None
) -> tuple[float, Array]:
    """Σ weight · −log p(said) and its gradient at the scores.

    Args:
        scores: (T, N, V), before the softmax.
        said: number of the word that should come, (T, N).
        weights: of each word, (T, N); 0 where none counts.
        allowed: bool (T, N, V), the words among which the probability is shared; all where None.

    Returns:
        The loss, and float32 (T, N, V): weight · (p − onehot of what was said).
    """
    logs = log_probabilities(scores, allowed)
    place = (*np.indices(said.shape), said)
    counted = weights != 0
    loss = float(-(weights[counted] * logs[place][counted]).sum())
    gradient = np.exp(logs)
    gradient[place] -= 1
    gradient *= weights[..., None]
    return loss, gradient.astype(np.float32)


def relevance_weights(said: Words) -> NDArray[np.float64]:
    """Every word but padding counts alike, and all together 1, (T, N)."""
    counted = said != PADDING
    return np.asarray(counted / max(int(counted.sum()), 1))


def discriminative_weights(
    said: Words, rewards: NDArray[np.float64], baselines: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(reward − baseline) / N for every word of a sampled sentence up to its end, (T, N); rewards are (N,)."""
    advantages = (rewards - baselines) / max(len(rewards), 1)
    return np.where(said != PADDING, advantages[None, :], 0.0)


def mean_entropy(scores: Array, said: Words) -> float:
    """Mean entropy of the next word, in nats, where a word was said: a sign of collapse when it goes to 0."""
    logs = log_probabilities(scores)
    entropies = -(np.exp(logs) * logs).sum(axis=-1)
    return float(entropies[said != PADDING].mean())
