"""Makes the private copy of a network that explanations run on; the user's definition is never changed.

The copy gives every value that a backward pass needs a blob of its own, computes gradients of activations but none of
weights (which halves the price of a backward pass), and starts with a batch of one.
"""

from rationale.network.check import test_phase_layers
from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import messages

# A plain ReLU (or Dropout, which does nothing here) may overwrite what these put out: where relevance or a gradient
# flows, their output equals what was overwritten, and their own backward pass does not look at it.
_MAY_BE_OVERWRITTEN = frozenset(
    {"Convolution", "Deconvolution", "InnerProduct", "BatchNorm", "Scale", "Bias", "Concat", "Pooling", "Split"}
    | {"Eltwise", "ReLU", "Dropout"}
)


def for_explaining(network: NetParameter) -> tuple[NetParameter, dict[str, str]]:
    """A copy of an upgraded, checked network, ready for forward passes and data-only backward passes.

    Also returns the user's name of each blob that has another one in the copy.
    """
    copy = messages().NetParameter()
    copy.CopyFrom(network)
    del copy.layer[:]
    copy.layer.extend(test_phase_layers(network))
    for layer in copy.layer:
        del layer.include[:], layer.exclude[:], layer.propagate_down[:]
        _start_with_one(layer)
        _learn_nothing(layer)
    renamed = _separate_in_place_layers(copy)
    copy.force_backward = True  # patch 0003: without the weight gradients that lr_mult 0 turns off
    return copy, renamed


def _overwrites_harmlessly(layer: LayerParameter, maker: LayerParameter | None) -> bool:
    is_plain = layer.type == "Dropout" or (layer.type == "ReLU" and layer.relu_param.negative_slope == 0)
    if maker is None or not is_plain or maker.type not in _MAY_BE_OVERWRITTEN:
        return False
    is_product = maker.type == "Eltwise" and maker.eltwise_param.operation == maker.eltwise_param.PROD
    return not is_product


def _start_with_one(layer: LayerParameter) -> None:
    if layer.type == "Input":
        for shape in layer.input_param.shape:
            if shape.dim:
                shape.dim[0] = 1


def _learn_nothing(layer: LayerParameter) -> None:
    while len(layer.param) < _parameter_count(layer):
        layer.param.add()
    for spec in layer.param:
        spec.lr_mult = 0


def _parameter_count(layer: LayerParameter) -> int:
    """Number of parameter blobs whose gradient would cost time."""
    own_weights = len(layer.bottom) == 1  # Scale and Bias take theirs from a second bottom, if there is one
    counts = {
        "Convolution": 1 + layer.convolution_param.bias_term,
        "Deconvolution": 1 + layer.convolution_param.bias_term,
        "InnerProduct": 1 + layer.inner_product_param.bias_term,
        "Embed": 1 + layer.embed_param.bias_term,
        "Scale": own_weights + layer.scale_param.bias_term,
        "Bias": int(own_weights),
        "PReLU": 1,
    }
    return int(counts.get(layer.type, 0))


def _separate_in_place_layers(network: NetParameter) -> dict[str, str]:
    """Gives in-place layers an output blob of their own, save those that overwrite harmlessly.

    Returns the user's name of each new blob.
    """
    taken = {top for layer in network.layer for top in layer.top}
    now: dict[str, str] = {}  # the blob that holds what the user calls so, at this point of the network
    makers: dict[str, LayerParameter] = {}
    for layer in network.layer:
        in_place = set(layer.top) & set(layer.bottom)
        for position, bottom in enumerate(layer.bottom):
            layer.bottom[position] = now.get(bottom, bottom)
        for position, top in enumerate(layer.top):
            if top not in in_place:
                now[top] = top
            elif not _overwrites_harmlessly(layer, makers.get(now[top])):
                now[top] = _free_name(layer.name, taken)
            layer.top[position] = now[top]
            makers[now[top]] = layer
    return {blob: name for name, blob in now.items() if blob != name}


def _free_name(wish: str, taken: set[str]) -> str:
    name, number = wish, 2
    while name in taken:
        name, number = f"{wish}#{number}", number + 1
    taken.add(name)
    return name
