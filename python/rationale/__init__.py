"""Rationale explains one decision of a Caffe image classifier: heatmap, units and sentence that agree."""

from os import PathLike
from typing import TYPE_CHECKING, Any

from rationale.version import __version__

if TYPE_CHECKING:
    from rationale.explanation import Explanation
    from rationale.model import Model

__all__ = ["Explanation", "Model", "__version__", "load"]


def load(
    name: "str | PathLike[str]", *, weights: "str | PathLike[str] | None" = None, gpu: int | None = None
) -> "Model":
    """The model of that name under prototxt/, or in a directory with a model.toml.

    Args:
        name: of the model, or its directory.
        weights: of the classifier, instead of the model's own.
        gpu: number of the card; the CPU where None.

    Raises:
        ModelError: there is none, or its model.toml is wrong.
    """
    from rationale.model import Model

    return Model.load(name, weights=weights, gpu=gpu)


def __getattr__(name: str) -> Any:
    if name == "Explanation":
        from rationale.explanation import Explanation

        return Explanation
    if name == "Model":
        from rationale.model import Model

        return Model
    raise AttributeError(f"module 'rationale' has no attribute {name!r}")
