"""Which layers of a definition are built: its phase, level and stages (Caffe's NetState and NetStateRule)."""

from collections.abc import Iterable
from typing import Any

from rationale.network.pycaffe import messages

NetParameter = Any
LayerParameter = Any


def test_phase_layers(network: NetParameter) -> list[LayerParameter]:
    """The layers that Caffe builds in its TEST phase, at the level and in the stages of the network's own `state`."""
    return layers_in(network, messages().NetState(phase=messages().TEST), own=True)


def layers_in(network: NetParameter, state: Any, own: bool = False) -> list[LayerParameter]:
    """The layers that are built in a state; with `own`, at the level and in the stages of the network's own too."""
    asked = messages().NetState()
    asked.CopyFrom(state)
    if own:
        asked.level = network.state.level
        asked.stage.extend(network.state.stage)
    return [layer for layer in network.layer if _is_included(layer, asked)]


def stages_of(layer: LayerParameter) -> list[str]:
    """The stages that would bring the layer in; none where something else keeps it out."""
    wanted = [rule for rule in layer.include if rule.stage and not _is_for_training(rule)]
    return list(wanted[0].stage) if wanted else []


def _is_included(layer: LayerParameter, state: Any) -> bool:
    def meets(rules: Iterable[Any]) -> bool:
        return any(_holds(rule, state) for rule in rules)

    return meets(layer.include) if layer.include else not meets(layer.exclude)


def _is_for_training(rule: Any) -> bool:
    return rule.HasField("phase") and rule.phase == messages().TRAIN  # type: ignore[no-any-return]


def _holds(rule: Any, state: Any) -> bool:
    return not (
        (rule.HasField("phase") and rule.phase != state.phase)
        or (rule.HasField("min_level") and state.level < rule.min_level)
        or (rule.HasField("max_level") and state.level > rule.max_level)
        or set(rule.stage) - set(state.stage)
        or set(rule.not_stage) & set(state.stage)
    )
