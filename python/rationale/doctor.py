"""Examines an installation: is everything there, and does it work together?"""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rationale.cores import available_cores
from rationale.errors import RationaleError
from rationale.fetching import is_fetched
from rationale.model import Model, available_models
from rationale.network import device
from rationale.network.pycaffe import layer_types, pycaffe
from rationale.network.views import cupy
from rationale.resources import image
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
    if kind := image():
        findings.append(Finding(True, f"in the image for {kind.upper()}"))
        findings.append(folder_finding(Path.cwd()))
    findings.append(_finding(_caffe))
    if device.has_cuda() and device.card_count():
        findings.append(_finding(_cupy))
    findings += [_finding(lambda name=name: _model(name)) for name in available_models()]  # type: ignore[misc]
    return findings


def _finding(look: Callable[[], str]) -> Finding:
    try:
        return Finding(True, look())
    except RationaleError as error:
        return Finding(False, str(error))


def folder_finding(folder: Path, mounts: Path = Path("/proc/self/mountinfo")) -> Finding:
    """Whether the results of a container reach its user, and belong to them.

    Args:
        folder: that the container works in.
        mounts: the system's table of what is mounted where.
    """
    mounted = {line.split(" ")[4] for line in mounts.read_text(encoding="utf-8").splitlines()}
    if not any(str(each) in mounted for each in (folder, *folder.parents) if each != Path("/")):
        return Finding(True, f'nothing is mounted at {folder}: results stay in the container; see -v "$PWD:{folder}"')
    me, owner, group = os.geteuid(), folder.stat().st_uid, folder.stat().st_gid
    if me == owner and os.access(folder, os.W_OK):
        return Finding(True, f"{folder} is mounted, and belongs to the user this runs as ({me})")
    if me == owner:
        return Finding(False, f"{folder} is mounted so that nothing can be written there; results need --out elsewhere")
    what = "cannot write there" if not os.access(folder, os.W_OK) else "leaves files that are not that user's"
    return Finding(
        False,
        f"{folder} belongs to user {owner}, and this runs as user {me}, who {what}: "
        f"give docker run --user {owner}:{group}",
    )


def _caffe() -> str:
    return f"Caffe {pycaffe().__version__} ({device.card_summary()}), {len(layer_types())} layer types"


def _cupy() -> str:
    return f"CuPy {cupy().__version__}: relevance stays on the card"


def _model(name: str) -> str:
    model = Model.load(name)
    text = f"model {name}: {model.description.title}, input {model.input_size[1]} × {model.input_size[0]}"
    weights = model.description.files.weights
    if is_fetched(weights):
        return f"{text}; its weights are fetched at first use"
    if model.description.files.weights_from and not weights.is_file():
        return f"{text}; for those who bring its weights"
    return f"{text}, {len(model.labels)} scores from {model.target_layer!r}"  # the weights are there, and fit
