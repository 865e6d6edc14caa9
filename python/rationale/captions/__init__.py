"""Captions that the heatmap selected. A data set brings a language and regions: one module here, one entry below."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from rationale.captions.birds import bird_regions, lexicon_path, read_lexicon
from rationale.captions.digits import digit_language, digit_regions
from rationale.captions.flight import flight_language, flight_regions
from rationale.datasets import Dataset, dataset_of
from rationale.datasets.dataset import Mask
from rationale.datasets.mnist import Digits
from rationale.datasets.strokes import measure_strokes
from rationale.errors import DataError
from rationale.explainer.language import Language
from rationale.images import Pixels
from rationale.model import Model


@dataclass(frozen=True)
class Source:
    """How the pictures of a data set are spoken of.

    Attributes:
        language: frames and phrases for the data set's attributes; None where captions are people's own.
        regions: bool (H, W) of each part that a phrase can name, made of the data set's own parts.
        dataset: that of its pictures that are spoken of, with parts and attributes, where these are not all.
        phrasings: of each picture's caption, the frames by turns.
        lexicon: of people's own captions, word → region.
        checked: attributes whose claims are also measured together, under a name for them.
        measure: finds the parts in any picture as the network sees it, where they need not be annotated.
    """

    language: Language | None
    regions: Callable[[Mapping[str, Mask]], dict[str, Mask]]
    dataset: Callable[[], Dataset] | None = None
    phrasings: int = 5
    lexicon: Mapping[str, str] | None = None
    measure: Callable[[Pixels], Mapping[str, Mask]] | None = None
    checked: Mapping[str, Collection[str]] = field(default_factory=dict)


SOURCES: dict[str, Callable[[], Source]] = {
    "flight": lambda: Source(flight_language(), flight_regions),
    "cub": lambda: _birds(),
    "cub-22": lambda: _birds(),
    "mnist": lambda: Source(
        digit_language(),
        digit_regions,
        Digits,
        phrasings=2,
        measure=lambda digit: measure_strokes(digit).parts,
        checked={"loops and ends": ("loops", "closed", "ends")},
    ),
}


def _birds() -> Source:
    lexicon = read_lexicon(lexicon_path())
    return Source(None, bird_regions(lexicon), lexicon=lexicon)


def caption_source(dataset: str) -> Source:
    """The source for a data set.

    Raises:
        DataError: captions are not composed for it.
    """
    if dataset not in SOURCES:
        raise DataError(f"no captions are composed for the data set {dataset!r}; there are {', '.join(SOURCES)}")
    return SOURCES[dataset]()


def spoken_of(model: Model) -> tuple[Dataset, Source]:
    """The model's data set, with the pictures and attributes that captions are about, and how it is spoken of.

    Raises:
        DataError: captions are not composed for it.
    """
    dataset = dataset_of(model)
    source = caption_source(dataset.name)
    return (source.dataset() if source.dataset is not None else dataset), source


__all__ = ["SOURCES", "Source", "caption_source", "spoken_of"]
