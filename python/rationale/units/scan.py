"""One pass over all pictures: which of them excite each unit most, least and in between, and carry its relevance.

The pass is a job of `rationale.batch`: its parts lie in `<store>.parts`, and however it ends, the same command goes on
with those that are there. Only the finished scan goes into the store.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.batch import Crew, Job
from rationale.batch.worker import Arrays
from rationale.datasets import Split
from rationale.errors import DataError, ImageError, OptionError, OutputError
from rationale.images import Pixels
from rationale.model import Model
from rationale.resources import as_json, printable
from rationale.units.assembly import Assembly
from rationale.units.layers import maps_of, strongest
from rationale.units.store import LAYOUT, Store
from rationale.units.wanted import Report, Scanned, Wanted

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Look:
    """What is kept of each picture: for each layer, by its number, the greatest activation of each unit and where.

    Attributes:
        layers: names.
        relevance: also keep the unit's relevance for the picture's class, and where there is most of it.
        composite: as in `Wanted`.
    """

    layers: tuple[str, ...]
    relevance: bool = False
    composite: str | None = None

    def __call__(self, model: Model, split: Split, rows: Sequence[int]) -> Arrays:
        """Of these pictures, NaN for those that cannot be read; `problem` says why not."""
        problems, batches = [], []
        for start in range(0, len(rows), model.batch_size):
            views, some = [], rows[start : start + model.batch_size]
            for row in some:
                view, problem = _view(model, split, row)
                problems.append(problem)
                views.append(view)
            batches.append(self._of_batch(model, split, some, views))
        found: Arrays = {name: np.concatenate([each[name] for each in batches]) for name in batches[0]}
        found["problem"] = np.array(problems)
        return found

    def _of_batch(self, model: Model, split: Split, rows: Sequence[int], views: Sequence[Pixels | None]) -> Arrays:
        blank = np.zeros((*model.input_size, 3)[: 2 if model.description.input.channels == 1 else 3], np.uint8)
        unreadable = np.array([view is None for view in views])
        shown = [blank if view is None else view for view in views]
        network, found = model.network, dict[str, NDArray[Any]]()
        if self.relevance:
            keep = [each for each in self.layers if each in _reached(model)]
            relevance = model.relevance(shown, _classes(model, split, rows), composite=self.composite, keep=keep)
            for number, layer in enumerate(self.layers):
                if layer in keep:
                    found[f"relevance/{number}"] = relevance.channels(layer)
                    found[f"relevant/{number}"] = strongest(maps_of(relevance[layer]))[1]
        else:
            network.forward(model.preprocess(shown))
        for number, layer in enumerate(self.layers):
            maps = maps_of(network.data(network.graph.blob(layer)))
            found[f"value/{number}"], found[f"place/{number}"] = strongest(maps)
        for values in found.values():
            if values.dtype.kind == "f":
                values[unreadable] = np.nan
        return found


def scan(
    model: Model,
    split: Split,
    path: Path,
    wanted: Wanted,
    report: Report = lambda done, total, what: None,
    *,
    crew: Crew | None = None,
    credit: str = "",
) -> Scanned:
    """Looks at every picture and puts what stands for each unit into the store at `path`.

    Layers that the store holds already are made anew, others stay.

    Args:
        model: the classifier.
        split: the pictures.
        path: of the store.
        wanted: what is kept.
        report: called with the pictures, then the layers done, and their number.
        crew: who does it.
        credit: whose the pictures are, kept with them.

    Raises:
        OptionError: the store is of another model, weights or pictures.
        OutputError: it cannot be written.
        DataError: no picture can be read.
    """
    crew = crew or Crew()
    if not path.parent.is_dir():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    about: dict[str, str | int] = {
        "layout": LAYOUT,
        "model": model.name,
        "fingerprint": model.classifier_fingerprint,
        "dataset": printable(str(split.folder or model.description.dataset or "")),
        "split": split.name,
        "pictures": split.fingerprint(),
        "classes": as_json(list(model.labels)),
        "credit": credit,
    }
    _check_same(path, model, about)
    relevance = "relevant" in wanted.kinds
    composite = model.composite(wanted.composite).name
    folder = path.with_name(path.name + ".parts")
    run = {
        **{key: str(value) for key, value in about.items()},
        "layers": as_json(list(wanted.layers)),
        "relevance": composite if relevance else "",
        "threads": str(crew.threads_for(folder)),
    }
    look = Look(wanted.layers, relevance, wanted.composite)
    size = max(model.batch_size, 512 // model.batch_size * model.batch_size if model.batch_size > 50 else 32)
    job = Job(model, split, look, folder, run, crew, size)
    try:
        with job.begun(lambda done, total: report(done, total, "pictures")) as (parts, done):
            for _ in done:
                pass
            scanned = Assembly(model, split, wanted, parts).into(path, about, composite if relevance else "", report)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return scanned


def _view(model: Model, split: Split, row: int) -> tuple[Pixels | None, str]:
    try:
        return model.view(split.images[row]), ""
    except ImageError as error:
        return None, str(error)


def _reached(model: Model) -> set[str]:
    """Layers from which the class scores are made."""
    graph = model.network.graph
    return {node.name for node in graph.below(graph.score_node(model.target_layer))}


def _classes(model: Model, split: Split, rows: Sequence[int]) -> NDArray[np.int64] | None:
    """Whose relevance counts: the picture's own class, or the predicted one where it has none."""
    labels = np.asarray(split.labels)[list(rows)]
    return None if (labels < 0).any() or (labels >= len(model.labels)).any() else labels


def _check_same(path: Path, model: Model, about: Mapping[str, Any]) -> None:
    if not path.exists():
        return
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; name a file")
    try:
        stored = Store.open(path, model).about
    except DataError as error:
        raise OutputError(f"{error}; choose another --out") from error
    if stored["pictures"] != about["pictures"]:
        raise OptionError(
            f"{path}: is made of other pictures ({stored['dataset']} {stored['split']}); choose another --out"
        )
