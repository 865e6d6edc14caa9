"""Makes the private copy of a network that explanations run on; the user's definition is never changed.

The copy gives every value that a backward pass needs a blob of its own, computes gradients of activations but none of
weights (which halves the price of a backward pass), and starts with a batch of one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from rationale.network.constants import Constant, check_parameters, from_dummies
from rationale.network.graph import free_name
from rationale.network.kinds import kind
from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import messages
from rationale.network.samples import free_batch
from rationale.network.state import test_phase_layers


@dataclass(frozen=True)
class Copy:
    """A definition to run, the user's name of each blob that has another one in it, and what fills constant inputs."""

    definition: NetParameter
    users_names: Mapping[str, str]
    constants: Mapping[str, Constant]


def for_explaining(network: NetParameter, name: str, understood: list[str]) -> Copy:
    """A copy of an upgraded, checked network, ready for forward passes and data-only backward passes.

    What is not as it stands in the file is added to `understood`.

    Raises:
        NetworkError: a layer takes samples together or apart.
    """
    copy = messages().NetParameter()
    copy.CopyFrom(network)
    del copy.layer[:]
    copy.ClearField("state")
    copy.layer.extend(test_phase_layers(network))
    _name_apart(copy, understood)
    sizes = free_batch(copy, name, understood)
    check_parameters(copy, sizes, name)
    constants = from_dummies(copy, sizes)
    for layer in copy.layer:
        del layer.include[:], layer.exclude[:], layer.propagate_down[:]
        _learn_nothing(layer)
        if takes_statistics_of_the_batch(layer):
            layer.batch_norm_param.use_global_stats = True
    renamed = _separate_in_place_layers(copy)
    copy.force_backward = True  # patch 0003: without the weight gradients that lr_mult 0 turns off
    return Copy(copy, renamed, constants)


def takes_statistics_of_the_batch(layer: LayerParameter) -> bool:
    """Whether a BatchNorm layer would explain a picture by its neighbours in the batch."""
    parameter = layer.batch_norm_param
    return bool(layer.type == "BatchNorm" and parameter.HasField("use_global_stats") and not parameter.use_global_stats)


def _name_apart(network: NetParameter, understood: list[str]) -> None:
    """Gives layers without weights that bear no name, or that of another, one of their own."""
    taken = {layer.name for layer in network.layer if kind(layer.type).holds_weights(layer)}
    for layer in network.layer:
        if kind(layer.type).holds_weights(layer):
            continue
        given = free_name(layer.name or layer.type, taken)
        if given != layer.name:
            what = f"a second layer {layer.name!r}" if layer.name else f"a {layer.type} layer without a name"
            understood.append(f"{what} is called {given!r}")
            layer.name = given


def _overwrites_harmlessly(layer: LayerParameter, maker: LayerParameter | None) -> bool:
    """Whether a layer in place is a plain ReLU, or a Dropout (which does nothing here), over what can bear it.

    Where relevance or a gradient flows, its output equals what was overwritten, and the backward pass of the layer
    below does not look at its own output.
    """
    is_plain = layer.type == "Dropout" or (layer.type == "ReLU" and layer.relu_param.negative_slope == 0)
    return maker is not None and is_plain and kind(maker.type).may_be_overwritten(maker)


def _learn_nothing(layer: LayerParameter) -> None:
    while len(layer.param) < kind(layer.type).learnt(layer):
        layer.param.add()
    for spec in layer.param:
        spec.lr_mult = 0


def _separate_in_place_layers(network: NetParameter) -> dict[str, str]:
    """Gives in-place layers an output blob of their own, save those that overwrite harmlessly.

    At the top of a network nothing is harmless, for the scores themselves are wanted. Returns the user's name of each
    new blob.
    """
    taken = {top for layer in network.layer for top in layer.top}
    now: dict[str, str] = {}  # the blob that holds what the user calls so, at this point of the network
    makers: dict[str, LayerParameter] = {}
    topmost = _topmost(network)
    for number, layer in enumerate(network.layer):
        in_place = set(layer.top) & set(layer.bottom)
        for position, bottom in enumerate(layer.bottom):
            layer.bottom[position] = now.get(bottom, bottom)
        for position, top in enumerate(layer.top):
            if top not in in_place:
                now[top] = top
            elif number in topmost or not _overwrites_harmlessly(layer, makers.get(now[top])):
                now[top] = free_name(layer.name, taken)
            layer.top[position] = now[top]
            makers[now[top]] = layer
    return {blob: name for name, blob in now.items() if blob != name}


def _topmost(network: NetParameter) -> set[int]:
    """Numbers of the layers over which nothing is but layers that may stand over scores."""
    found: set[int] = set()
    read: set[str] = set()  # blobs that something else reads
    for number, layer in reversed(list(enumerate(network.layer))):
        if kind(layer.type).may_top and not set(layer.top) & read:
            found.add(number)
        else:
            read.update(layer.bottom)
    return found
