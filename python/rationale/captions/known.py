"""Pictures whose parts are known: those of the model's own data set, told by their content, or any that is measured."""

from collections.abc import Callable
from pathlib import Path

from rationale.captions import SOURCES, Source, caption_source
from rationale.captions.measured import view_regions
from rationale.datasets import DATASETS, dataset_of
from rationale.datasets.dataset import Mask
from rationale.errors import RationaleError
from rationale.fetching import is_at_hand
from rationale.fetching.digest import file_digest
from rationale.model import Model

_SPLITS = ("train", "val", "test")


def known_regions(model: Model) -> Callable[[Path], dict[str, Mask] | None]:
    """What finds the regions of a picture, bool (H, W) of each part where the network sees it; None where unknown."""
    return KnownRegions(model).of


class KnownRegions:
    """Finds the regions of a picture if it is one of the model's data set and its parts are annotated."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._places: dict[str, tuple[str, int, Path]] = {}  # split, row and file, by the file's name
        self._splits = {}
        name = model.description.dataset
        self._source: Source | None = None
        if model.description.explainer is None or name not in DATASETS:
            return
        if name in SOURCES and (source := caption_source(name)).measure is not None:
            self._source = source
            return
        if not is_at_hand(name):
            return
        try:
            dataset = dataset_of(model)
            self._source = caption_source(dataset.name)
            self._splits = {each: dataset.split(each) for each in _SPLITS}
        except RationaleError:
            return
        for each, split in self._splits.items():
            for row, path in enumerate(split.files or ()):
                self._places[path.name] = (each, row, path)

    def of(self, picture: Path) -> dict[str, Mask] | None:
        """Bool (H, W) of each part where the network sees it; None for a picture that is not known."""
        source = self._source
        if source is not None and source.measure is not None:
            return source.regions(source.measure(self._model.view(picture)))
        if source is None or picture.name not in self._places:
            return None
        split, row, path = self._places[picture.name]
        parts = self._splits[split].parts
        try:
            same = picture.stat().st_size == path.stat().st_size and file_digest(picture) == file_digest(path)
        except OSError:
            return None
        return view_regions(self._model, source, parts[row]) if same and parts is not None else None
