"""model.toml as data: all that a model's prototxt cannot say, checked when it is read."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from rationale.errors import ModelError, RuleError
from rationale.fetching import is_fetched
from rationale.lrp.composites import get_composite
from rationale.network import MEANINGS


@dataclass(frozen=True)
class Files:
    """Paths, relative to model.toml, or "data:NAME/FILE" for a file of a set that data/manifest.toml names."""

    classifier: Path
    weights: Path
    solver: Path | None = None
    weights_from: str = ""  # where people get weights that do not come along
    stages: tuple[str, ...] = ()  # in which an all-in-one definition is built


@dataclass(frozen=True)
class Input:
    """How a picture becomes numbers: (pixel − mean) · scale, channels in the order `colour`."""

    colour: str
    mean: tuple[float, ...] = (0.0,)
    scale: float = 1.0
    fit: str = "crop"
    background: str = "any"

    @property
    def channels(self) -> int:
        """Number of the input's channels."""
        return 1 if self.colour == "grey" else 3


@dataclass(frozen=True)
class Output:
    """What the numbers at the top mean; labels in order, or a file with one label a line.

    `meaning` is "classes" (one is true), "labels" (each is true or not) or "values" (a regression), where the network's
    own Softmax or Sigmoid does not tell.
    """

    labels: tuple[str, ...] | Path
    target_layer: str | None = None
    feature_layer: str | None = None
    meaning: str | None = field(default=None, repr=False)  # heatmaps do not depend on it


@dataclass(frozen=True)
class Lrp:
    """How decisions of this model are explained unless the caller says otherwise; bounds of the preprocessed input."""

    composite: str = "epsilon-plus-flat"
    bounds: tuple[float, float] | None = None
    layers: Mapping[str, str] = field(default_factory=dict)  # rules of single layers, patterns or "type:…"


@dataclass(frozen=True)
class Training:
    """How the classifier is trained: see rationale.training.

    With `photographs`, pictures are changed as photographs (`augmented_photographs`), and zoom and shift are shares of
    the view; otherwise as drawings (`augment`), and shift is in pixels.
    """

    start: Path | None = None  # weights to begin with, for the layers of the same name
    photographs: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    flip: bool = False
    balance: bool = False  # every class is seen equally often
    with_val: bool = False  # the validation split is learnt from too, once choices are made; no accuracy is measured
    colour: float = 0.0
    border: float = 0.0
    average: float = 0.0  # share of the updates, the last ones, over which the weights are averaged


@dataclass(frozen=True)
class Explainer:
    """The generator of sentences: see rationale.explainer. Files as in [files]."""

    network: Path  # long, to learn with
    step: Path  # one step, to speak with
    weights: Path
    language: Path  # vocabulary and phrases, written by the training
    captions: Path
    unlinked: Path  # captions about parts drawn by lot, to compare with
    solver: Path | None = None
    discriminative_solver: Path | None = None
    sentence_solver: Path | None = None
    grid: tuple[int, int] = (8, 8)  # columns and rows in which the generator sees where relevance lies
    minimum_count: int = 3  # times that a word must come in the captions to be learnt
    beam: int = 5  # sentences pursued at the same time
    sure: float = 0.9  # probability of the class from which on a sentence does not say "probably"
    with_val: bool = False  # the validation split is learnt from too, once choices are made


@dataclass(frozen=True)
class Description:
    """model.toml as data."""

    title: str
    files: Files
    input: Input
    output: Output
    lrp: Lrp
    training: Training
    description: str = ""
    licence: str = "unknown"
    dataset: str | None = None
    explainer: Explainer | None = None


def read_description(path: Path) -> Description:
    """Parses and checks a model.toml.

    Raises:
        ModelError: it is no TOML, lacks something, holds an unknown key or a value that makes no sense.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: {error}") from error
    tables = {"files": Files, "input": Input, "output": Output, "lrp": Lrp, "training": Training}
    values = {name: _table(kind, content.pop(name, {}), f"{path}: [{name}]") for name, kind in tables.items()}
    if "explainer" in content:
        values["explainer"] = _table(Explainer, content.pop("explainer"), f"{path}: [explainer]")
    description: Description = _table(Description, {**content, **values}, str(path))
    return _checked(description, path)


def _table(kind: type, content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise ModelError(f"{where}: must be a table")
    known = {field.name for field in fields(kind)}
    if unknown := set(content) - known:
        raise ModelError(f"{where}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(known))}")
    tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items()}
    try:
        return kind(**tuples)
    except TypeError as error:
        missing = str(error).split("argument")[-1].lstrip("s: ")
        raise ModelError(f"{where}: lacks {missing}") from error


def _checked(description: Description, path: Path) -> Description:
    how, output, lrp, training = description.input, description.output, description.lrp, description.training
    channels = how.channels
    texts = (description.title, description.description, description.licence, description.dataset or "")
    files = [getattr(description.files, each.name) for each in fields(Files) if each.name != "stages"]
    stages = description.files.stages
    layers = (output.target_layer, output.feature_layer)
    expectations = {
        "title, description, licence and dataset are strings": all(isinstance(each, str) for each in texts),
        "the paths in [files] and training.start are strings": all(
            each is None or isinstance(each, str) for each in (*files, training.start)
        ),
        "files.stages is a list of strings": isinstance(stages, tuple)
        and all(isinstance(each, str) for each in stages),
        "input.colour is grey, rgb or bgr": how.colour in ("grey", "rgb", "bgr"),
        "input.fit is crop, pad or stretch": how.fit in ("crop", "pad", "stretch"),
        "input.background is any or dark": how.background in ("any", "dark"),
        f"input.mean is a list of 1 or {channels} numbers": _numbers(how.mean) and len(how.mean) in (1, channels),
        "input.scale is a number other than 0": _numbers((how.scale,)) and how.scale != 0,
        "output.labels is a list of different strings, not empty, or a path": _labels(output.labels),
        f"output.meaning is {', '.join(MEANINGS)}": output.meaning is None or output.meaning in MEANINGS,
        "output.target_layer and feature_layer are strings": all(
            each is None or isinstance(each, str) for each in layers
        ),
        "lrp.bounds are two numbers, the lower first": lrp.bounds is None or _bounds(lrp.bounds),
        "lrp.composite is a string": isinstance(lrp.composite, str),
        "lrp.layers is a table of rules": isinstance(lrp.layers, dict),
        "the amounts in [training] are numbers": _numbers(
            (training.rotate, training.zoom, training.shift, training.colour, training.border, training.average)
        ),
        **_training_ranges(training),
        "photographs, flip, balance and with_val in [training] are true or false": all(
            isinstance(each, bool)
            for each in (training.photographs, training.flip, training.balance, training.with_val)
        ),
        "training.photographs wants a colour of rgb or bgr": not training.photographs or how.colour != "grey",
    }
    if description.explainer is not None:
        expectations |= _explainer_expectations(description.explainer)
    for what, holds in expectations.items():
        if not holds:
            raise ModelError(f"{path}: {what}")
    try:
        get_composite(lrp.composite).with_layers(lrp.layers)
    except RuleError as error:
        raise ModelError(f"{path}: {error}") from error
    return _with_absolute_files(description, path)


_EXPLAINER_FILES = (
    "network", "step", "weights", "language", "captions", "unlinked", "solver", "discriminative_solver",
    "sentence_solver",
)  # fmt: skip


def _explainer_expectations(how: Explainer) -> dict[str, bool]:
    grid = how.grid
    return {
        "the files in [explainer] are strings": all(
            getattr(how, name) is None or isinstance(getattr(how, name), str) for name in _EXPLAINER_FILES
        ),
        "explainer.grid is a list of two whole numbers, columns and rows, at least 1": isinstance(grid, tuple)
        and len(grid) == 2
        and all(_is_count(each) for each in grid),
        "explainer.minimum_count and beam are whole numbers, at least 1": _is_count(how.minimum_count)
        and _is_count(how.beam),
        "explainer.sure is a probability from 0 to 1": _numbers((how.sure,)) and 0 <= how.sure <= 1,
        "explainer.with_val is true or false": isinstance(how.with_val, bool),
    }


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _training_ranges(training: Training) -> dict[str, bool]:
    """Amounts that would turn, enlarge or colour a picture by less than nothing, or leave nothing of it."""
    shares = ["colour", "border", "average", *(["shift"] if training.photographs else [])]

    def within(name: str, least: float, most: float) -> bool:
        value = getattr(training, name)
        return not _numbers((value,)) or least <= value <= most

    return {
        "training.rotate is an angle from 0 to 180 degrees": within("rotate", 0, 180),
        "training.zoom is a share from 0 to 0.9": within("zoom", 0, 0.9),
        "training.shift is not negative": within("shift", 0, np.inf),
        **{f"training.{name} is a share from 0 to 1": within(name, 0, 1) for name in shares},
    }


def _numbers(values: Any) -> bool:
    plain = isinstance(values, tuple) and all(isinstance(each, int | float) for each in values)
    return plain and not any(isinstance(each, bool) for each in values) and bool(np.isfinite(values).all())


def _labels(values: Any) -> bool:
    if isinstance(values, str):
        return bool(values)
    is_list = isinstance(values, tuple) and all(isinstance(each, str) for each in values)
    return is_list and len(values) > 0 and len(set(values)) == len(values)


def _bounds(values: Any) -> bool:
    return _numbers(values) and len(values) == 2 and values[0] < values[1]


def _with_absolute_files(description: Description, path: Path) -> Description:
    """Paths as absolute ones; those of fetched files stay as they are (see `rationale.fetching.local_file`)."""
    here = path.parent

    def absolute(value: Any) -> Any:
        return value if value is None else Path(value) if is_fetched(value) else here / value

    paths = {name: absolute(getattr(description.files, name)) for name in ("classifier", "weights", "solver")}
    files = replace(description.files, **paths)
    explainer = description.explainer
    if explainer is not None:
        changed = {name: absolute(getattr(explainer, name)) for name in _EXPLAINER_FILES}
        explainer = replace(explainer, **changed)
    labels = description.output.labels
    dataset = description.dataset
    if dataset is not None and "/" in dataset:
        dataset = str((here / dataset).resolve())
    return replace(
        description,
        files=files,
        dataset=dataset,
        output=replace(description.output, labels=absolute(labels) if isinstance(labels, str) else labels),
        training=replace(description.training, start=absolute(description.training.start)),
        explainer=explainer,
    )
