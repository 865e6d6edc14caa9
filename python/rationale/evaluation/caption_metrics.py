"""Figures of merit of sentences: n-gram metrics of the field, likeness to the class, variety, perplexity.

BLEU-4, METEOR and CIDEr come from pycocoevalcap (extra [metrics]); METEOR wants Java.
"""

import contextlib
import io
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

Tokens = Sequence[str]


def field_metrics(sentences: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> dict[str, float]:
    """BLEU-4, METEOR and CIDEr-D of sentences against the references of the same pictures, as pycocoevalcap has them.

    What is not installed is left out: all of them without pycocoevalcap, METEOR without Java.
    """
    try:
        from pycocoevalcap.bleu.bleu import Bleu
        from pycocoevalcap.cider.cider import Cider
        from pycocoevalcap.meteor.meteor import Meteor
    except ImportError:
        return {}
    ours = {number: [" ".join(tokens)] for number, tokens in enumerate(sentences)}
    theirs = {number: [" ".join(tokens) for tokens in each] for number, each in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):
        found = {"BLEU-4": float(Bleu(4).compute_score(theirs, ours)[0][3])}
        found["CIDEr"] = float(Cider().compute_score(theirs, ours)[0])
        if shutil.which("java"):
            found["METEOR"] = float(Meteor().compute_score(theirs, ours)[0])
    return found


def class_similarities(
    sentences: Sequence[Tokens], captions: Mapping[int, Sequence[Tokens]], *, longest: int = 4
) -> NDArray[np.float64]:
    """How much each sentence is like the captions of each class (Hendricks et al. 2016, section 4), (N, classes).

    Mean over n-grams of up to `longest` words and over the captions of a class of the cosine of tf-idf vectors, as
    CIDEr has it (Vedantam et al. 2015, eq. 2 and 3); a document of the idf is a caption.

    Args:
        sentences: N of them.
        captions: of each class, by its number.
        longest: n-gram.
    """
    labels = sorted(captions)
    known = [tokens for label in labels for tokens in captions[label]]
    owners = np.array([label for label in labels for _ in captions[label]])
    found = np.zeros((len(sentences), len(labels)))
    for length in range(1, longest + 1):
        grams: dict[tuple[str, ...], int] = {}
        theirs, ours = _counts(known, length, grams), _counts(sentences, length, grams)
        columns = max(len(grams), 1)
        shape = (len(known), columns)
        matrix = csr_array((theirs[2], (theirs[0], theirs[1])), shape=shape)
        seen = np.bincount(matrix.indices, minlength=columns)
        idf = np.log(len(known) / np.maximum(seen, 1))
        other = csr_array((ours[2], (ours[0], ours[1])), shape=(len(sentences), columns))
        cosines = (_unit(other, idf) @ _unit(matrix, idf).T).toarray()
        for place, label in enumerate(labels):
            found[:, place] += cosines[:, owners == label].mean(axis=1) / longest
    return found


def _counts(
    sentences: Sequence[Tokens], length: int, grams: dict[tuple[str, ...], int]
) -> tuple[list[int], list[int], list[float]]:
    rows, columns, values = [], [], []
    for row, tokens in enumerate(sentences):
        counts = Counter(tuple(tokens[at : at + length]) for at in range(len(tokens) - length + 1))
        for gram, count in counts.items():
            rows.append(row)
            columns.append(grams.setdefault(gram, len(grams)))
            values.append(float(count))
    return rows, columns, values


def _unit(matrix: csr_array, idf: NDArray[np.float64]) -> csr_array:
    """tf-idf rows of length 1; rows of nothing stay so."""
    weighted = matrix.multiply(idf[None]).tocsr()
    lengths = np.sqrt(weighted.multiply(weighted).sum(axis=1))
    return csr_array(weighted.multiply((1 / np.where(lengths > 0, lengths, 1))[:, None]))


def ranks(similarities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rank of each sentence's class among all by likeness, 1 the best; a tie counts against it, (N,)."""
    own = similarities[np.arange(len(labels)), labels][:, None]
    return np.asarray((similarities >= own).sum(axis=1), np.int64)


def distinct(sentences: Sequence[Tokens]) -> float:
    """Share of the sentences that differ from all before them."""
    return len({tuple(tokens) for tokens in sentences}) / max(len(sentences), 1)
