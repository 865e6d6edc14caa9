"""Model: a directory with model.toml that turns a photo into a batch and a batch into explanations."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rationale.errors import ModelError, RuleError
from rationale.explanation import Explanation, explanations_of
from rationale.images import Pixels, Source, border_colour, fit, load_image, to_grey, to_rgb
from rationale.lrp import propagate
from rationale.lrp.composites import Composite, get_composite
from rationale.network import Network
from rationale.resources import shared_directory

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Files:
    """Paths, relative to model.toml."""

    classifier: Path
    weights: Path
    solver: Path | None = None


@dataclass(frozen=True)
class Input:
    """How a picture becomes numbers: (pixel − mean) · scale, channels in the order `colour`."""

    colour: str
    mean: tuple[float, ...] = (0.0,)
    scale: float = 1.0
    fit: str = "crop"
    background: str = "any"


@dataclass(frozen=True)
class Output:
    """What the numbers at the top mean."""

    labels: tuple[str, ...]
    target_layer: str | None = None
    feature_layer: str | None = None


@dataclass(frozen=True)
class Lrp:
    """How decisions of this model are explained unless the caller says otherwise; bounds of the preprocessed input."""

    composite: str = "epsilon-plus-flat"
    bounds: tuple[float, float] | None = None


@dataclass(frozen=True)
class Training:
    """How the classifier is trained: see rationale.training."""

    rotate: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0


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


class Model:
    """A classifier with its labels, preprocessing and way of explaining. Caffe is started at first use."""

    def __init__(self, name: str, directory: Path, description: Description, gpu: int | None = None) -> None:
        self.name = name
        self.directory = directory
        self.description = description
        self.gpu = gpu

    @classmethod
    def load(cls, name: str | PathLike[str], *, gpu: int | None = None) -> Self:
        """Reads a model by its name under prototxt/, or by the path of a directory with a model.toml.

        Raises:
            ModelError: there is none, or its model.toml is wrong.
        """
        known = shared_directory("prototxt")
        directory = Path(name)
        if (known / str(name) / "model.toml").is_file() and str(name) in available_models():
            directory = known / str(name)
        if not (directory / "model.toml").is_file():
            raise ModelError(
                f"there is no model {str(name)!r}; known are {', '.join(available_models())}, "
                "or give a directory with a model.toml"
            )
        return cls(directory.resolve().name, directory, read_description(directory / "model.toml"), gpu)

    @cached_property
    def network(self) -> Network:
        """The classifier."""
        files = self.description.files
        network = Network.load(files.classifier, files.weights, gpu=self.gpu)
        self._check_network(network)
        return network

    def _check_network(self, network: Network) -> None:
        where = self.directory / "model.toml"
        if len(network.inputs) != 1:
            raise ModelError(f"{where}: the classifier has {len(network.inputs)} inputs; a photo fills one")
        (shape,) = network.inputs.values()
        channels = 1 if self.description.input.colour == "grey" else 3
        if len(shape) != 4 or shape[1] != channels:
            raise ModelError(f"{where}: colour {self.description.input.colour!r} does not fit an input of {shape}")
        scores = network.shape(self._target_layer(network))
        if scores[1] != len(self.labels):
            raise ModelError(f"{where}: {len(self.labels)} labels for {scores[1]} classes")

    def _target_layer(self, network: Network) -> str:
        return self.description.output.target_layer or network.graph.score_node().name

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores."""
        return self.description.output.labels

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels."""
        (shape,) = self.network.inputs.values()
        return shape[2], shape[3]

    # ---- photo → batch -----------------------------------------------------------------------------------------------

    def view(self, source: Source) -> Pixels:
        """What the network gets to see, uint8 (H, W) or (H, W, 3) RGB: fitted, in its colours, inverted if need be."""
        how = self.description.input
        pixels = load_image(source)
        pixels = to_grey(pixels) if how.colour == "grey" else to_rgb(pixels)
        if self._is_light(pixels):
            pixels = 255 - pixels
        return fit(pixels, self.input_size, how.fit)

    def _is_light(self, pixels: Pixels) -> bool:
        """Whether a model for things on a dark background is shown a light one."""
        return self.description.input.background == "dark" and float(np.mean(border_colour(pixels))) > 127

    def preprocess(self, views: Sequence[Pixels]) -> Array:
        """Pictures as `view` gives them to a batch for the network, float32 (N, C, H, W)."""
        how = self.description.input
        stack = np.stack(views).astype(np.float32)
        batch = stack[:, None] if stack.ndim == 3 else stack.transpose(0, 3, 1, 2)
        if how.colour == "bgr":
            batch = batch[:, ::-1]
        mean = np.asarray(how.mean, np.float32).reshape(1, -1, 1, 1)
        return np.ascontiguousarray((batch - mean) * np.float32(how.scale))

    # ---- batch → explanations ----------------------------------------------------------------------------------------

    def explain(
        self, image: Source, *, target: int | str | None = None, composite: str | Composite | None = None
    ) -> Explanation:
        """Explains the decision on one picture.

        Args:
            image: path, PIL image or uint8 array, (H, W, 3) RGB or (H, W).
            target: class to explain, as label or number; the predicted one where None.
            composite: how to propagate relevance; the model's own way where None.

        Raises:
            ImageError: the picture cannot be read.
            ModelError: the class does not exist.
            RuleError: the composite does not exist or does not fit the network.
        """
        return self.explain_batch([image], target=target, composite=composite)[0]

    def explain_batch(
        self,
        images: Iterable[Source],
        *,
        target: int | str | None = None,
        composite: str | Composite | None = None,
    ) -> list[Explanation]:
        """Explains several pictures with one forward and one backward pass; arguments as in `explain`."""
        sources = list(images)
        names = [source_name(source, number) for number, source in enumerate(sources)]
        views = [self.view(source) for source in sources]
        return self.explain_views(views, names, target=target, composite=composite)

    def explain_views(
        self,
        views: Sequence[Pixels],
        names: Sequence[str],
        *,
        target: int | str | None = None,
        composite: str | Composite | None = None,
    ) -> list[Explanation]:
        """Explains pictures that `view` has made, under these names; arguments as in `explain`."""
        if not views:
            return []
        rules = get_composite(composite or self.description.lrp.composite)
        relevance = propagate(
            self.network,
            self.preprocess(views),
            None if target is None else self.class_number(target),
            composite=rules,
            target_layer=self._target_layer(self.network),
        )
        settings = {"model": self.name, "composite": rules.name, "preprocessing": self.preprocessing_text()}
        (input_name,) = self.network.inputs
        return explanations_of(relevance, input_name, self.labels, views, names, settings)

    def class_number(self, target: int | str) -> int:
        """Number of a class given as label or number.

        Raises:
            ModelError: there is no such class.
        """
        if isinstance(target, str) and target in self.labels:
            return self.labels.index(target)
        if str(target).isdecimal() and int(target) < len(self.labels):
            return int(target)
        shown = ", ".join(self.labels[:10]) + (" …" if len(self.labels) > 10 else "")
        raise ModelError(f"model {self.name!r} has no class {target!r}; its classes are {shown}")

    def preprocessing_text(self) -> str:
        """The preprocessing in words, for reports."""
        how = self.description.input
        height, width = self.input_size
        mean = ", ".join(f"{each:g}" for each in how.mean)
        return f"{how.fit} to {width} × {height}, {how.colour}, (pixel − {mean}) · {how.scale:.6g}"


def source_name(source: Source, number: int) -> str:
    """The file's name, or “image 3” for what came as an array."""
    return Path(source).name if isinstance(source, str | PathLike) else f"image {number + 1}"


def available_models() -> list[str]:
    """Names of the models under prototxt/."""
    return sorted(path.parent.name for path in shared_directory("prototxt").glob("*/model.toml"))


# ---- model.toml ------------------------------------------------------------------------------------------------------


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
    description: Description = _table(Description, {**content, **values}, str(path))
    return _checked(description, path)


def _table(kind: type, content: dict[str, Any], where: str) -> Any:
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
    how, output, lrp = description.input, description.output, description.lrp
    _expect(how.colour in ("grey", "rgb", "bgr"), path, "input.colour is grey, rgb or bgr")
    _expect(how.fit in ("crop", "pad", "stretch"), path, "input.fit is crop, pad or stretch")
    _expect(how.background in ("any", "dark"), path, "input.background is any or dark")
    channels = 1 if how.colour == "grey" else 3
    _expect(len(how.mean) in (1, channels), path, f"input.mean has 1 or {channels} numbers")
    _expect(_numbers(how.mean) and _numbers((how.scale,)), path, "input.mean and input.scale are numbers")
    _expect(bool(output.labels), path, "output.labels is not empty")
    _expect(all(isinstance(label, str) for label in output.labels), path, "output.labels are strings")
    _expect(lrp.bounds is None or (_numbers(lrp.bounds) and len(lrp.bounds) == 2), path, "lrp.bounds are two numbers")
    try:
        get_composite(lrp.composite)
    except RuleError as error:
        raise ModelError(f"{path}: {error}") from error
    return _with_absolute_files(description, path)


def _expect(holds: bool, path: Path, what: str) -> None:
    if not holds:
        raise ModelError(f"{path}: {what}")


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and np.isfinite(value) for value in values)


def _with_absolute_files(description: Description, path: Path) -> Description:
    folder = path.parent
    files = {field.name: getattr(description.files, field.name) for field in fields(Files)}
    absolute: Any = {name: None if value is None else folder / value for name, value in files.items()}
    values = {field.name: getattr(description, field.name) for field in fields(Description)}
    return Description(**{**values, "files": Files(**absolute)})
