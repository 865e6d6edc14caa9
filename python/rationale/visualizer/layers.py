"""A network as the page draws it: its layers in data order, columns by depth, branches side by side."""

from dataclasses import dataclass

from rationale.network import Network, Node

Described = dict[str, object]


@dataclass(frozen=True)
class _Box:
    """One layer with those that work in place on it."""

    node: Node
    also: tuple[str, ...]  # types of what works in place on it
    sources: tuple[str, ...]  # names of the layers whose output it reads


def describe_layers(network: Network, score_layer: str) -> list[Described]:
    """Name, type, shape, column, row and sources of every layer, bottom to top, Split and in-place layers merged.

    Column 0 is the input; a layer's column is one more than that of its farthest source.
    """
    reached = {node.name for node in network.graph.below(network.graph.node(score_layer))}
    boxes = _boxes(network)
    columns: dict[str, int] = {}
    taken: dict[int, int] = {}
    rows: dict[str, int] = {}
    described = []
    for box in boxes:
        name = box.node.name
        columns[name] = 1 + max((columns[source] for source in box.sources), default=-1)
        rows[name] = taken.get(columns[name], 0)
        taken[columns[name]] = rows[name] + 1
        shape = network.shape(name)[1:]
        described.append(
            {
                "name": name,
                "type": box.node.type,
                "also": list(box.also),
                "channels": shape[0] if shape else 1,
                "places": [*shape[1:]] if len(shape) == 3 else [1, 1],
                "column": columns[name],
                "row": rows[name],
                "sources": list(box.sources),
                "relevance": name in reached,
            }
        )
    return described


def _boxes(network: Network) -> list[_Box]:
    graph = network.graph
    makers: dict[int, str] = {}  # the box whose output a blob holds
    also: dict[str, list[str]] = {}
    found: list[tuple[Node, tuple[str, ...]]] = []
    for node in graph.nodes:
        if not node.tops:
            continue
        if node.in_place:
            also[makers[node.bottoms[0]]].append(node.type)
        elif node.type == "Split":
            makers.update(dict.fromkeys(node.tops, makers[node.bottoms[0]]))
        else:
            found.append((node, tuple(dict.fromkeys(makers[blob] for blob in node.bottoms))))
            also[node.name] = []
            makers.update(dict.fromkeys(node.tops, node.name))
    return [_Box(node, tuple(also[node.name]), sources) for node, sources in found]
