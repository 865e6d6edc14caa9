"""Captions that the heatmap selected. A data set brings a language and regions: one module here, one entry below."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rationale.captions.flight import flight_language, flight_regions
from rationale.datasets.dataset import Mask
from rationale.errors import DataError
from rationale.explainer.language import Language


@dataclass(frozen=True)
class Source:
    """How the pictures of a data set are spoken of.

    Attributes:
        language: frames and phrases for the data set's attributes.
        regions: bool (H, W) of each part that a phrase can name, made of the data set's own parts.
    """

    language: Language
    regions: Callable[[Mapping[str, Mask]], dict[str, Mask]]


_SOURCES: dict[str, Callable[[], Source]] = {"flight": lambda: Source(flight_language(), flight_regions)}


def caption_source(dataset: str) -> Source:
    """The source for a data set.

    Raises:
        DataError: captions are not composed for it.
    """
    if dataset not in _SOURCES:
        raise DataError(f"no captions are composed for the data set {dataset!r}; there are {', '.join(_SOURCES)}")
    return _SOURCES[dataset]()


__all__ = ["Source", "caption_source"]
