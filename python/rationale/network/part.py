"""The lower part of a network, as a network of its own with the same weights and an input of any size."""

from rationale.errors import NetworkError
from rationale.network import device
from rationale.network.build import build_net
from rationale.network.network import Network
from rationale.network.pycaffe import messages


def part_below(network: Network, layer: str) -> Network:
    """All that a layer's output is made of, without what works in place over it; weights are copied.

    Where no dense layer is among it, its input can be larger or smaller than the network's.

    Raises:
        NetworkError: no such layer, or the network holds constants beside its input.
    """
    device.select(network.gpu)
    node = network.graph.node(layer)
    if len(network.net._inputs) != 1:
        raise NetworkError(f"{network.name}: has several inputs or constants; it cannot be taken apart")
    below = {each.name for each in network.graph.below(node) if each.parameter is not None}
    definition = messages().NetParameter()
    definition.CopyFrom(network.definition)
    del definition.layer[:]
    definition.layer.extend(each for each in network.definition.layer if each.name in below)
    net = build_net(definition, network.name)
    part = Network(definition, net, network.name, network.gpu)
    for each in part.graph.nodes:
        if each.parameter is not None:
            own = network.parameters(network.graph.node(each.name))
            for values, given in zip(part.parameters(each), own, strict=True):
                values[...] = given
    return part
