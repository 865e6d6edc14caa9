"""Checks a network definition before Caffe sees it: what can be said more clearly than by a failed CHECK."""

from collections.abc import Iterable
from difflib import get_close_matches

from rationale.errors import NetworkError
from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import layer_types, messages

_DATA_TYPES = frozenset({"Data", "HDF5Data", "ImageData", "MemoryData", "WindowData"})


def check_network(network: NetParameter, name: str) -> None:
    """Refuses definitions that cannot be run on pictures handed over from Python.

    Raises:
        NetworkError: no layers, no Input layer or one without a shape, a layer that reads its own data, an unknown
            layer type, a bottom that no layer before it makes, or two layers of one name.
    """
    layers = test_phase_layers(network)
    if not layers:
        raise NetworkError(f"{name}: defines no layers")
    available: set[str] = set()
    names: set[str] = set()
    for layer in layers:
        if layer.name in names:
            raise NetworkError(f"{name}: two layers are named {layer.name!r}")
        names.add(layer.name)
        _check_type(layer, name)
        for bottom in layer.bottom:
            if bottom not in available:
                hint = _hint(bottom, available)
                raise NetworkError(f"{name}: layer {layer.name!r} wants {bottom!r}, which no layer before makes{hint}")
        available.update(layer.top)
    if not any(layer.type == "Input" for layer in layers):
        raise NetworkError(f"{name}: has no Input layer, so that no picture can be handed to it")


def test_phase_layers(network: NetParameter) -> list[LayerParameter]:
    """The layers that Caffe would build in its TEST phase."""
    return [layer for layer in network.layer if _included(layer)]


def _included(layer: LayerParameter) -> bool:
    def meets(rules: Iterable[object]) -> bool:
        return any(_rule_holds_in_test(rule) for rule in rules)

    return meets(layer.include) if layer.include else not meets(layer.exclude)


def _rule_holds_in_test(rule: object) -> bool:
    """Caffe's NetStateRule for phase TEST, level 0 and no stages."""
    if rule.HasField("phase") and rule.phase != messages().TEST:  # type: ignore[attr-defined]
        return False
    wants_level = rule.HasField("min_level") and rule.min_level > 0  # type: ignore[attr-defined]
    below_level = rule.HasField("max_level") and rule.max_level < 0  # type: ignore[attr-defined]
    return not (wants_level or below_level or rule.stage)  # type: ignore[attr-defined]


def _check_type(layer: LayerParameter, name: str) -> None:
    if layer.type in _DATA_TYPES:
        raise NetworkError(
            f"{name}: layer {layer.name!r} ({layer.type}) reads its own data; give the deploy definition, "
            "which begins with an Input layer"
        )
    if layer.type not in layer_types():
        hint = _hint(layer.type, layer_types())
        raise NetworkError(f"{name}: layer {layer.name!r} has type {layer.type!r}, which Caffe does not know{hint}")
    if layer.type == "Python":
        raise NetworkError(f"{name}: layer {layer.name!r} runs Python code of its own, which is not allowed here")
    _check_divisors(layer, name)
    if layer.type == "Input" and not layer.input_param.shape:
        raise NetworkError(f"{name}: Input layer {layer.name!r} gives no shape")


def _check_divisors(layer: LayerParameter, name: str) -> None:
    """Caffe divides by these without a look; a zero would end the process."""
    convolution, pooling = layer.convolution_param, layer.pooling_param
    values = {
        "group": [convolution.group],
        "stride": [*convolution.stride, pooling.stride],
        "stride_h": [parameter.stride_h for parameter in (convolution, pooling) if parameter.HasField("stride_h")],
        "stride_w": [parameter.stride_w for parameter in (convolution, pooling) if parameter.HasField("stride_w")],
        "dilation": list(convolution.dilation),
        "local_size": [layer.lrn_param.local_size],
    }
    for key, numbers in values.items():
        if 0 in numbers:
            raise NetworkError(f"{name}: layer {layer.name!r} has {key}: 0; it must be at least 1")


def _hint(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
