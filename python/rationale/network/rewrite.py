"""Makes the private copy of a network that explanations run on; the user's definition is never changed.

The copy gives every value that a backward pass needs a blob of its own, computes gradients of activations but none of
weights (which halves the price of a backward pass), and starts with a batch of one.
"""

from rationale.network.check import test_phase_layers
from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import messages


def for_explaining(network: NetParameter) -> NetParameter:
    """A copy of an upgraded, checked network, ready for forward passes and data-only backward passes."""
    copy = messages().NetParameter()
    copy.CopyFrom(network)
    del copy.layer[:]
    copy.layer.extend(test_phase_layers(network))
    for layer in copy.layer:
        del layer.include[:], layer.exclude[:], layer.propagate_down[:]
        _start_with_one(layer)
        _learn_nothing(layer)
    _separate_in_place_layers(copy)
    copy.force_backward = True  # patch 0003: without the weight gradients that lr_mult 0 turns off
    return copy


def overwrites_harmlessly(layer: LayerParameter) -> bool:
    """Whether running in place loses nothing: a plain ReLU's output tells its input wherever relevance can flow."""
    return bool(layer.type == "Dropout" or (layer.type == "ReLU" and layer.relu_param.negative_slope == 0))


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


def _separate_in_place_layers(network: NetParameter) -> None:
    """Gives in-place layers an output blob of their own, save those that overwrite harmlessly."""
    taken = {top for layer in network.layer for top in layer.top}
    renamed: dict[str, str] = {}
    for layer in network.layer:
        in_place = [top for top in layer.top if top in layer.bottom]
        for position, bottom in enumerate(layer.bottom):
            layer.bottom[position] = renamed.get(bottom, bottom)
        for position, top in enumerate(layer.top):
            if top in in_place and not overwrites_harmlessly(layer):
                renamed[top] = _free_name(layer.name, taken)
            elif top not in in_place:
                renamed.pop(top, None)
            layer.top[position] = renamed.get(top, top)


def _free_name(wish: str, taken: set[str]) -> str:
    name, number = wish, 2
    while name in taken:
        name, number = f"{wish}#{number}", number + 1
    taken.add(name)
    return name
