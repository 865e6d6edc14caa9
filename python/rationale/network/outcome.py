"""What a network says of each picture of a batch: probabilities, or values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.network.head import MEANINGS

if TYPE_CHECKING:
    from rationale.network.network import Network


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a network says.

    Attributes:
        meaning: "classes" (one is true), "labels" (each is true or not), or "values".
        numbers: float64 (N, K): probabilities, or values.
    """

    meaning: str
    numbers: NDArray[np.float64]


def outcome_of(network: "Network", target_layer: str | None = None, meaning: str | None = None) -> Outcome:
    """What the network says after a forward pass, at the output to which a layer belongs.

    Probabilities are computed again, from what Caffe's Softmax or Sigmoid reads, in double precision, so that one of
    0.99999999 is not 1.

    Args:
        network: which has run forward.
        target_layer: of the scores, or above it; found by itself where None.
        meaning: what the numbers are, where the network does not tell, or tells otherwise.

    Raises:
        NetworkError: no such layer or meaning, or several outputs.
    """
    if meaning is not None and meaning not in MEANINGS:
        raise NetworkError(f"an output means {', '.join(MEANINGS)}, not {meaning!r}")
    graph = network.graph
    head = graph.head(target_layer)
    score = graph.score_node(target_layer)
    meant = meaning or (head.meaning if head is not None else "values")
    if meant == "values":
        return Outcome(meant, _flat(network.data((head.value if head is not None else score).tops[0])))
    if head is None or head.probability is None or head.meaning != meant:
        scores = _flat(network.data(score.tops[0]))
        return Outcome(meant, _softmax(scores, 1) if meant == "classes" else _sigmoid(scores))
    node = head.probability
    read = network.data(node.bottoms[0]).astype(np.float64)
    if meant == "labels":
        return Outcome(meant, _flat(_sigmoid(read)))
    assert node.parameter is not None
    return Outcome(meant, _flat(_softmax(read, node.parameter.softmax_param.axis)))


def _softmax(scores: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    powers = np.exp(scores - scores.max(axis=axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _sigmoid(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(-np.logaddexp(0, -scores)))


def _flat(array: NDArray[np.floating]) -> NDArray[np.float64]:
    return array.reshape(len(array), -1).astype(np.float64)
