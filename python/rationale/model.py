"""Model: a directory with model.toml that turns a photo into a batch and a batch into explanations."""

import hashlib
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rationale import __version__
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
    layers: Mapping[str, str] = field(default_factory=dict)  # rules of single layers, patterns or "type:…"


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
        directory = known / str(name) if str(name) in available_models() else Path(name)
        try:
            found = (directory / "model.toml").is_file()
        except (OSError, ValueError):
            found = False
        if not found:
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
        classes = scores[1] if len(scores) > 1 else 1
        if classes != len(self.labels):
            raise ModelError(f"{where}: {len(self.labels)} labels for {classes} classes")
        feature = self.description.output.feature_layer
        if feature is not None and feature not in network.graph.layer_names:
            raise ModelError(f"{where}: output.feature_layer {feature!r} is no layer of the classifier")

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
        rules = self.composite(composite)
        relevance = propagate(
            self.network,
            self.preprocess(views),
            None if target is None else self.class_number(target),
            composite=rules,
            bounds=self.description.lrp.bounds,
            target_layer=self._target_layer(self.network),
        )
        settings = {
            "model": self.name,
            "weights": self.fingerprint,
            "composite": rules.name,
            "preprocessing": self.preprocessing_text(),
            "made": f"{datetime.now().astimezone():%Y-%m-%d %H:%M} by Rationale {__version__}",
        }
        (input_name,) = self.network.inputs
        return explanations_of(relevance, input_name, self.labels, views, names, settings)

    def composite(self, composite: str | Composite | None = None) -> Composite:
        """The composite asked for; or the model's own, with its rules for single layers.

        Raises:
            RuleError: it does not exist.
        """
        if composite is not None:
            return get_composite(composite)
        own = self.description.lrp
        return get_composite(own.composite).with_layers(own.layers) if own.layers else get_composite(own.composite)

    @cached_property
    def fingerprint(self) -> str:
        """Twelve digits of a SHA-256 over model.toml, the classifier's prototxt and its weights."""
        files = self.description.files
        digest = hashlib.sha256()
        for path in (self.directory / "model.toml", files.classifier, files.weights):
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()[:12]

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
    """The file's name, printable, or “image 3” for what came as an array."""
    if not isinstance(source, str | PathLike):
        return f"image {number + 1}"
    return os.fsencode(Path(source).name).decode("utf-8", "replace")


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
    channels = 1 if how.colour == "grey" else 3
    texts = (description.title, description.description, description.licence, description.dataset or "")
    files = [getattr(description.files, each.name) for each in fields(Files)]
    layers = (output.target_layer, output.feature_layer)
    expectations = {
        "title, description, licence and dataset are strings": all(isinstance(each, str) for each in texts),
        "the paths in [files] are strings": all(each is None or isinstance(each, str) for each in files),
        "input.colour is grey, rgb or bgr": how.colour in ("grey", "rgb", "bgr"),
        "input.fit is crop, pad or stretch": how.fit in ("crop", "pad", "stretch"),
        "input.background is any or dark": how.background in ("any", "dark"),
        f"input.mean is a list of 1 or {channels} numbers": _numbers(how.mean) and len(how.mean) in (1, channels),
        "input.scale is a number other than 0": _numbers((how.scale,)) and how.scale != 0,
        "output.labels is a list of different strings, not empty": _labels(output.labels),
        "output.target_layer and feature_layer are strings": all(
            each is None or isinstance(each, str) for each in layers
        ),
        "lrp.bounds are two numbers, the lower first": lrp.bounds is None or _bounds(lrp.bounds),
        "lrp.composite is a string": isinstance(lrp.composite, str),
        "lrp.layers is a table of rules": isinstance(lrp.layers, dict),
        "the amounts in [training] are numbers": _numbers((training.rotate, training.zoom, training.shift)),
    }
    for what, holds in expectations.items():
        if not holds:
            raise ModelError(f"{path}: {what}")
    try:
        get_composite(lrp.composite).with_layers(lrp.layers)
    except RuleError as error:
        raise ModelError(f"{path}: {error}") from error
    return _with_absolute_files(description, path)


def _numbers(values: Any) -> bool:
    plain = isinstance(values, tuple) and all(isinstance(each, int | float) for each in values)
    return plain and not any(isinstance(each, bool) for each in values) and bool(np.isfinite(values).all())


def _labels(values: Any) -> bool:
    is_list = isinstance(values, tuple) and all(isinstance(each, str) for each in values)
    return is_list and len(values) > 0 and len(set(values)) == len(values)


def _bounds(values: Any) -> bool:
    return _numbers(values) and len(values) == 2 and values[0] < values[1]


def _with_absolute_files(description: Description, path: Path) -> Description:
    folder = path.parent
    files = {field.name: getattr(description.files, field.name) for field in fields(Files)}
    absolute: Any = {name: None if value is None else folder / value for name, value in files.items()}
    values = {field.name: getattr(description, field.name) for field in fields(Description)}
    return Description(**{**values, "files": Files(**absolute)})
