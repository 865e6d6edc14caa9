"""Examines an installation: is everything there, and does it work together?"""

import platform
from collections.abc import Callable
from dataclasses import dataclass

from rationale.cores import available_cores
from rationale.errors import RationaleError
from rationale.fetching import is_fetched
from rationale.model import Model, available_models
from rationale.network import device
from rationale.network.pycaffe import layer_types, pycaffe
from rationale.version import __version__


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    good: bool
    what: str


def examine() -> list[Finding]:
    """Looks at Python, cores, Caffe, its processor and every model that comes along."""
    findings = [Finding(True, f"Rationale {__version__}, Python {platform.python_version()}")]
    cores = available_cores()
    findings.append(Finding(True, f"{cores} core{'s' if cores > 1 else ''} to work on"))
    findings.append(_finding(_caffe))
    findings += [_finding(lambda name=name: _model(name)) for name in available_models()]  # type: ignore[misc]
    return findings


def _finding(look: Callable[[], str]) -> Finding:
    try:
        return Finding(True, look())
    except RationaleError as error:
        return Finding(False, str(error))


def _caffe() -> str:
    kind = "CUDA" if device.has_cuda() else "CPU only"
    return f"Caffe {pycaffe().__version__} ({kind}), {len(layer_types())} layer types"


def _model(name: str) -> str:
    model = Model.load(name)
    text = f"model {name}: {model.description.title}, input {model.input_size[1]} × {model.input_size[0]}"
    weights = model.description.files.weights
    if is_fetched(weights):
        return f"{text}; its weights are fetched at first use"
    if model.description.files.weights_from and not weights.is_file():
        return f"{text}; for those who bring its weights"
    return f"{text}, {len(model.labels)} scores from {model.target_layer!r}"  # the weights are there, and fit
