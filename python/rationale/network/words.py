"""Refuses word numbers that an Embed layer, which looks them up unchecked, does not have."""

import numpy as np
from numpy.typing import NDArray

from rationale.errors import NetworkError
from rationale.network.graph import Graph
from rationale.network.kinds import kind


def check_words(graph: Graph, name: str, array: NDArray[np.float32]) -> None:
    """Looks whether what goes into the input `name` can be looked up by the Embed layers that it reaches.

    Raises:
        NetworkError: it holds something that is no number of a word.
    """
    carriers = {graph.input_blob(name)}
    for node in graph.nodes:
        if not carriers & set(node.bottoms):
            continue
        if kind(node.type).hands_on or kind(node.type).cuts:
            carriers.update(node.tops)
        elif node.type == "Embed" and node.parameter is not None:
            count = int(node.parameter.embed_param.input_dim)
            if array.min() < 0 or array.max() >= count or np.any(array != np.floor(array)):
                raise NetworkError(
                    f"input {name!r} holds {array.min():g} to {array.max():g}; layer {node.name!r} knows the words "
                    f"0 to {count - 1}"
                )
