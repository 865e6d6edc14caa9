"""Checks a network definition before Caffe sees it: what can be said more clearly than by a failed CHECK."""

from collections.abc import Iterable
from difflib import get_close_matches

from rationale.errors import NetworkError
from rationale.network.kinds import kind, use_of_files
from rationale.network.prototxt import LayerParameter, NetParameter
from rationale.network.pycaffe import layer_types
from rationale.network.state import stages_of, test_phase_layers


def check_network(network: NetParameter, name: str) -> None:
    """Refuses definitions that cannot be run on pictures handed over from Python.

    Raises:
        NetworkError: no layers, no Input layer or one without a shape, a layer that reads or writes files, an unknown
            layer type, a bottom that no layer before it makes, or two layers of one name.
    """
    layers = test_phase_layers(network)
    if not layers:
        raise NetworkError(f"{name}: defines no layers")
    available: set[str] = set()
    names: set[str] = set()
    for layer in layers:
        _check_type(layer, name)
        if kind(layer.type).holds_weights(layer):
            if layer.name in names:
                raise NetworkError(
                    f"{name}: two layers with weights are named {layer.name!r}; give them different names"
                )
            names.add(layer.name)
        for bottom in layer.bottom:
            if bottom not in available:
                hint = _stage_hint(network, bottom) or _hint(bottom, available)
                raise NetworkError(f"{name}: layer {layer.name!r} wants {bottom!r}, which no layer before makes{hint}")
        available.update(layer.top)
    if not any(layer.type == "Input" for layer in layers):
        raise NetworkError(f"{name}: has no Input layer, so that no picture can be handed to it")


def _check_type(layer: LayerParameter, name: str) -> None:
    check_files(layer, name, "give the deploy definition, which begins with an Input layer")
    if layer.type not in layer_types():
        hint = _hint(layer.type, layer_types())
        raise NetworkError(f"{name}: layer {layer.name!r} has type {layer.type!r}, which Caffe does not know{hint}")
    _check_divisors(layer, name)
    if layer.type == "Input" and not layer.input_param.shape:
        raise NetworkError(f"{name}: Input layer {layer.name!r} gives no shape")


def check_files(layer: LayerParameter, name: str, instead: str) -> None:
    """Refuses a layer that reads or writes files, or runs other code.

    Raises:
        NetworkError: it does; `instead` says what to do.
    """
    if use := use_of_files(layer):
        raise NetworkError(f"{name}: layer {layer.name!r} ({layer.type}) {use}, which is not allowed here; {instead}")


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


def _stage_hint(network: NetParameter, blob: str) -> str:
    """In which stages a layer would make the blob."""
    makers = [layer for layer in network.layer if blob in layer.top and not use_of_files(layer)]
    stages = next((stages_of(layer) for layer in makers if stages_of(layer)), [])
    given = " ".join(f"--stage {each}" for each in stages)
    return f"; one does in another stage: give {given} (stages={stages!r} in Python)" if stages else ""


def _hint(word: str, known: Iterable[str]) -> str:
    close = get_close_matches(word, sorted(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
