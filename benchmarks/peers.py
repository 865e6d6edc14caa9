"""PyTorch twins of Caffe networks, and the relevance that zennit and captum find in them.

A twin has the same layers and the same weights, so that the peers' numbers and times can be compared with ours. torch,
zennit and captum come with `make peers`; nothing else in the project needs them.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from benchmarks.torchvision_stub import stub_torchvision
from rationale.network import Network, Node

stub_torchvision()

from zennit import composites, rules
from zennit import types as kinds
from zennit.attribution import Gradient
from zennit.layer import Sum


class Twin(nn.Module):
    """The layers of a Caffe network, as read from its running graph, up to the class scores."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        top = network.graph.score_node()
        self.nodes = [node for node in network.graph.below(top) if node.type != "Input"]
        self.top = top.tops[0]
        self.inputs = [blob for node in network.graph.nodes if node.type == "Input" for blob in node.tops]
        self.steps = nn.ModuleList([module_for(network, node) for node in self.nodes])

    def take_decisions(self, network: Network) -> None:
        """Lets max pooling and ReLU decide as they did in the network's last forward pass."""
        for node, step in zip(self.nodes, self.steps, strict=True):
            if isinstance(step, MaxPool):
                step.decide(torch.from_numpy(network.data(node.bottoms[0]).copy()))
            elif isinstance(step, Rectifier):
                step.is_open = torch.from_numpy(network.data(node.tops[0]) > 0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        blobs = {self.inputs[0]: x}
        for node, step in zip(self.nodes, self.steps, strict=True):
            values = [blobs[blob] for blob in node.bottoms]
            if node.type == "Split":
                blobs |= dict.fromkeys(node.tops, values[0])
            elif node.type == "Concat":
                blobs[node.tops[0]] = torch.cat(values, 1)
            elif node.type == "Eltwise":
                blobs[node.tops[0]] = step(torch.stack(values, dim=-1))
            else:
                blobs[node.tops[0]] = step(values[0])
        return blobs[self.top].flatten(1)


class MaxPool(nn.MaxPool2d):
    """Max pooling whose winners can be given: two values that differ in their last bit tie differently elsewhere."""

    winners: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.winners is None:
            return super().forward(x)
        return x.flatten(2).gather(2, self.winners.flatten(2)).view(self.winners.shape)

    def decide(self, x: torch.Tensor) -> None:
        """Takes the winners from these inputs from now on."""
        shape = (self.kernel_size, self.stride, self.padding)
        self.winners = nn.functional.max_pool2d(x, *shape, ceil_mode=True, return_indices=True)[1]


class Rectifier(nn.ReLU):
    """A ReLU whose open units can be given: one at 1e-7 here may be at −1e-7 elsewhere."""

    is_open: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if self.is_open is None else x * self.is_open


def module_for(network: Network, node: Node) -> nn.Module:
    """The torch module that computes what a Caffe layer does."""
    makers: dict[str, Callable[[Network, Node], nn.Module]] = {
        "Convolution": _convolution,
        "InnerProduct": _dense,
        "Pooling": _pooling,
        "ReLU": lambda network, node: Rectifier(),
        "LRN": _normalisation,
        "Dropout": lambda network, node: nn.Identity(),
        "Eltwise": lambda network, node: Sum(),
        "Concat": lambda network, node: nn.Identity(),
        "Split": lambda network, node: nn.Identity(),
        "Flatten": lambda network, node: nn.Flatten(),
    }
    return makers[node.type](network, node)


def _first(values: object, default: int) -> int:
    return next(iter(values), default)  # type: ignore[call-overload]


def _convolution(network: Network, node: Node) -> nn.Module:
    parameter = node.parameter.convolution_param
    weights, *bias = network.parameters(node)
    layer = nn.Conv2d(
        weights.shape[1] * parameter.group,
        len(weights),
        weights.shape[2:],
        stride=_first(parameter.stride, 1),
        padding=_first(parameter.pad, 0),
        dilation=_first(parameter.dilation, 1),
        groups=parameter.group,
        bias=bool(bias),
    )
    return _filled(layer, weights, bias)


def _dense(network: Network, node: Node) -> nn.Module:
    weights, *bias = network.parameters(node)
    layer = _filled(nn.Linear(weights.shape[1], len(weights), bias=bool(bias)), weights, bias)
    return nn.Sequential(nn.Flatten(), layer)


def _filled(layer: nn.Module, weights: np.ndarray, bias: list[np.ndarray]) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights.copy()))
        if bias:
            layer.bias.copy_(torch.from_numpy(bias[0].copy()))
    return layer.requires_grad_(False)


def _pooling(network: Network, node: Node) -> nn.Module:
    parameter = node.parameter.pooling_param
    if parameter.global_pooling:
        return nn.AdaptiveAvgPool2d(1) if parameter.pool == parameter.AVE else nn.AdaptiveMaxPool2d(1)
    kind = nn.AvgPool2d if parameter.pool == parameter.AVE else MaxPool
    return kind(parameter.kernel_size, parameter.stride, parameter.pad, ceil_mode=True)


def _normalisation(network: Network, node: Node) -> nn.Module:
    parameter = node.parameter.lrn_param
    return nn.LocalResponseNorm(parameter.local_size, parameter.alpha, parameter.beta, parameter.k)


# ---- zennit ----------------------------------------------------------------------------------------------------------

_AROUND = [(nn.LocalResponseNorm, rules.Pass()), (nn.AdaptiveAvgPool2d, rules.Norm())]


def zennit_composite(name: str, bounds: tuple[float, float] | None = None) -> object:
    """zennit's composite that means what ours of that name does."""
    if name in ("epsilon", "epsilon 0.01", "lrp-0", "alpha1-beta0"):
        rule = {
            "epsilon": rules.Epsilon(),
            "epsilon 0.01": rules.Epsilon(epsilon=0.01),
            "lrp-0": rules.Epsilon(epsilon=0.0),
            "alpha1-beta0": rules.AlphaBeta(1, 0),
        }[name]
        layers = [(kinds.Activation, rules.Pass()), (Sum, rules.Norm()), (kinds.AvgPool, rules.Norm())]
        return composites.LayerMapComposite([*_AROUND, *layers, (kinds.Linear, rule)])
    if name == "epsilon-gamma-box":
        low, high = bounds or (-1.0, 1.0)
        return composites.EpsilonGammaBox(torch.tensor(low), torch.tensor(high), layer_map=_AROUND)
    if name == "excitation-backprop":
        return composites.ExcitationBackprop(layer_map=_AROUND, zero_params="bias")
    kind = {
        "epsilon-plus": composites.EpsilonPlus,
        "epsilon-plus-flat": composites.EpsilonPlusFlat,
        "epsilon-alpha2-beta1": composites.EpsilonAlpha2Beta1,
        "epsilon-alpha2-beta1-flat": composites.EpsilonAlpha2Beta1Flat,
    }[name]
    return kind(layer_map=_AROUND)


def zennit_relevance(
    twin: Twin, batch: np.ndarray, targets: np.ndarray, name: str, bounds: tuple[float, float] | None = None
) -> np.ndarray:
    """Input relevance of the targets' scores by zennit, (N, C, H, W)."""
    rows = torch.arange(len(batch))

    def start(output: torch.Tensor) -> torch.Tensor:
        seed = torch.zeros_like(output)
        seed[rows, torch.from_numpy(targets)] = 1
        return seed if name == "excitation-backprop" else seed * output.detach()

    with Gradient(model=twin, composite=zennit_composite(name, bounds)) as attributor:
        _, relevance = attributor(torch.from_numpy(batch), start)
    return relevance.detach().numpy()


def captum_relevance(twin: Twin, batch: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Input relevance by captum's LRP with its ε-rule everywhere, (N, C, H, W)."""
    from captum.attr import LRP
    from captum.attr._utils.lrp_rules import EpsilonRule

    for module in twin.modules():
        if isinstance(module, Rectifier):
            module.__class__ = nn.ReLU  # captum goes by the exact type
        elif isinstance(module, MaxPool):
            module.__class__ = nn.MaxPool2d
        if not isinstance(module, nn.ReLU) and not list(module.children()):
            module.rule = EpsilonRule(1e-6)
    return LRP(twin).attribute(torch.from_numpy(batch), target=torch.from_numpy(targets)).detach().numpy()
