"""Model: a directory with model.toml that turns a photo into a batch and a batch into explanations."""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from rationale.description import Description, read_description
from rationale.description import Explainer as ExplainerSettings
from rationale.errors import ModelError
from rationale.explainer.evidence import Evidence, evidence_of
from rationale.explainer.explainer import Explainer, Sentence
from rationale.explainer.utterance import WordStart
from rationale.explanation import Explanation, Word, explanations_of
from rationale.explanation.words import words_of
from rationale.fetching import local_file
from rationale.fetching.digest import short_digest
from rationale.images import Pixels, Source, border_colour, fit, fit_mask, load_image, to_grey, to_rgb
from rationale.lrp import Relevance, propagate
from rationale.lrp.composites import Bounds, Composite, get_composite
from rationale.lrp.conditions import Condition
from rationale.lrp.start import Classes
from rationale.network import Network, Outcome, input_shapes
from rationale.resources import now, printable, shared_directory
from rationale.version import __version__

Array = NDArray[np.float32]


class Model:
    """A classifier with its labels, preprocessing and way of explaining. Caffe is started at first use."""

    def __init__(self, name: str, directory: Path, description: Description, gpu: int | None = None) -> None:
        self.name = name
        self.directory = directory
        self.description = description
        self.gpu = gpu

    @classmethod
    def load(
        cls,
        name: str | PathLike[str],
        *,
        weights: str | PathLike[str] | None = None,
        gpu: int | None = None,
        stages: Sequence[str] = (),
    ) -> Self:
        """Reads a model by its name under prototxt/, or by the path of a directory with a model.toml.

        Args:
            name: of the model, or its directory.
            weights: of the classifier, instead of the model's own.
            gpu: number of the card; the CPU where None.
            stages: in which an all-in-one definition is built, instead of those in model.toml.

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
        description = read_description(directory / "model.toml")
        if weights is not None:
            description = replace(description, files=replace(description.files, weights=Path(weights)))
        if stages:
            description = replace(description, files=replace(description.files, stages=tuple(stages)))
        return cls(printable(directory.resolve().name), directory, description, gpu)

    @cached_property
    def network(self) -> Network:
        """The classifier."""
        files = self.description.files
        weights = local_file(files.weights)
        if files.weights_from and not weights.is_file():
            raise ModelError(f"{weights.resolve()}: is not there; bring the weights from {files.weights_from}")
        network = Network.load(files.classifier, weights, gpu=self.gpu, stages=files.stages)
        self._check_network(network)
        return network

    def _check_network(self, network: Network) -> None:
        where = self.directory / "model.toml"
        if len(network.inputs) != 1:
            raise ModelError(f"{where}: the classifier has {len(network.inputs)} inputs; a photo fills one")
        (shape,) = network.inputs.values()
        if len(shape) != 4 or shape[1] != self.description.input.channels:
            raise ModelError(f"{where}: colour {self.description.input.colour!r} does not fit an input of {shape}")
        scores = network.shape(self._target_layer_of(network))
        classes = scores[1] if len(scores) > 1 else 1
        if classes != len(self.labels):
            raise ModelError(f"{where}: {len(self.labels)} labels for {classes} classes")
        feature = self.description.output.feature_layer
        if feature is not None and feature not in network.graph.layer_names:
            raise ModelError(f"{where}: output.feature_layer {feature!r} is no layer of the classifier")

    @property
    def target_layer(self) -> str:
        """Layer of the class scores, before the softmax."""
        return self._target_layer_of(self.network)

    def _target_layer_of(self, network: Network) -> str:
        return network.graph.score_node(self.description.output.target_layer).name

    @property
    def meaning(self) -> str:
        """Of the output: "classes", "labels" or "values"."""
        output = self.description.output
        head = self.network.graph.head(output.target_layer)
        return output.meaning or (head.meaning if head is not None else "values")

    def outcome(self) -> Outcome:
        """What the network says of the last batch that went through it, as it means it or as model.toml states."""
        return self.network.outcome(self.description.output.target_layer, self.description.output.meaning)

    def class_probabilities(self) -> NDArray[np.float64]:
        """Probabilities of which one class is true for the last batch, (N, classes); by a softmax if need be."""
        return self.network.outcome(self.description.output.target_layer, "classes").numbers

    @property
    def explainer_settings(self) -> ExplainerSettings:
        """[explainer] of model.toml.

        Raises:
            ModelError: there is none.
        """
        if self.description.explainer is None:
            raise ModelError(f"model {self.name!r} has no explainer: its model.toml has no [explainer]")
        return self.description.explainer

    @property
    def evidence_layer(self) -> str:
        """Layer whose channels the generator of sentences sees.

        Raises:
            ModelError: model.toml names none.
        """
        if self.description.output.feature_layer is None:
            raise ModelError(f"{self.directory / 'model.toml'}: an explainer wants output.feature_layer")
        return self.description.output.feature_layer

    def evidence(self, relevance: Relevance) -> Evidence:
        """What the generator of sentences sees of the last batch that was explained."""
        (name,) = self.network.inputs
        layer = self.evidence_layer
        if layer not in relevance:
            raise ModelError(
                f"{self.directory / 'model.toml'}: no relevance reaches output.feature_layer {layer!r}; it lies above "
                "the scores"
            )
        return evidence_of(
            relevance[name].sum(axis=1), self.network.activation(layer), relevance[layer], self.explainer_settings.grid
        )

    @cached_property
    def explainer(self) -> Explainer | None:
        """What says sentences; None where model.toml names none, or it is not trained yet.

        Raises:
            DataError, NetworkError: its files are damaged or do not fit.
        """
        how = self.description.explainer
        if how is None or not how.weights.exists():
            return None
        found = Explainer.load(
            how.step, how.weights, how.language, width=how.beam, sure=how.sure, belief=how.belief, gpu=self.gpu
        )
        if found.spoken.classes != self.labels:
            raise ModelError(
                f"{how.language}: speaks of {', '.join(found.spoken.classes)}, not of this model's classes"
            )
        return found

    @cached_property
    def explainer_fingerprint(self) -> str:
        """Twelve digits of a SHA-256 over the generator's files.

        Raises:
            ModelError: the model has no explainer, or it is not trained.
        """
        how = self.explainer_settings
        if self.explainer is None:
            raise ModelError(f"{how.weights}: is not there; `rationale train explainer --model {self.name}` makes it")
        settings = repr((how.beam, how.sure, how.belief, how.grid)).encode()
        return short_digest(settings + b"".join(path.read_bytes() for path in (how.step, how.weights, how.language)))

    def sentences(self, relevance: Relevance, count: int = 3) -> list[list[Sentence]]:
        """The best sentences for each picture of the last batch that was explained; none without an explainer."""
        if self.explainer is None:
            return [[] for _ in relevance.targets]
        probabilities = self.class_probabilities()
        order = np.argsort(-probabilities, axis=1, kind="stable")
        ranked = [
            [(int(label), float(row[label])) for label in places]
            for row, places in zip(probabilities, order, strict=True)
        ]
        return self.explainer.sentences(self.evidence(relevance), relevance.targets.tolist(), ranked, count)

    def __repr__(self) -> str:
        height, width = self.input_size
        return f"Model({self.name!r}: {self.description.title}; {len(self.labels)} classes, {width} × {height} pixels)"

    def words(
        self,
        relevance: Relevance,
        sentences: Sequence[Sentence | None],
        composite: str | Composite | None = None,
        *,
        only: Sequence[WordStart] | None = None,
        batch: Array | None = None,
    ) -> list[tuple[Word, ...]]:
        """The words of a sentence about each picture of the last batch that was explained, each with its heatmap.

        Args:
            relevance: of that batch.
            sentences: that `sentences` gave for it; of a picture with None there are no words.
            composite: how it was explained; the model's own way where None.
            only, batch: as in `explanation.words.words_of`.
        """
        if self.explainer is None or not any(sentences):
            return [() for _ in sentences]
        return words_of(
            self.network,
            relevance,
            self.evidence(relevance),
            self.explainer,
            sentences,
            layer=self.evidence_layer,
            grid=self.explainer_settings.grid,
            composite=self.composite(composite),
            bounds=self.bounds,
            only=only,
            batch=batch,
        )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the scores.

        Raises:
            ModelError: the file that holds them cannot be read, or names no class.
        """
        labels = self.description.output.labels
        return read_labels(local_file(Path(labels))) if isinstance(labels, str) else labels

    @property
    def bounds(self) -> Bounds:
        """Least and greatest value of the preprocessed input: as model.toml says, or what black and white become."""
        own, how = self.description.lrp.bounds, self.description.input
        if own is not None:
            return own
        ends = [tuple((level - mean) * how.scale for mean in how.mean) for level in (0, 255)]
        return (ends[0], ends[1]) if how.scale > 0 else (ends[1], ends[0])

    @cached_property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the network's input, in pixels; known without weights."""
        shapes = input_shapes(self.description.files.classifier, self.description.files.stages)
        if len(shapes) != 1 or len(shapes[0]) != 4:
            raise ModelError(f"{self.directory / 'model.toml'}: the classifier must have one input, N × C × H × W")
        return shapes[0][2], shapes[0][3]

    # ---- photo → batch -----------------------------------------------------------------------------------------------

    def view(self, source: Source) -> Pixels:
        """What the network gets to see, uint8 (H, W) or (H, W, 3) RGB: fitted, in its colours, inverted if need be."""
        how = self.description.input
        pixels = load_image(source)
        pixels = to_grey(pixels) if how.colour == "grey" else to_rgb(pixels)
        if self._is_light(pixels):
            pixels = 255 - pixels
        return fit(pixels, self.input_size, how.fit)

    def view_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A region (H, W) of a picture where `view` takes it, bool of the input's size."""
        return fit_mask(mask, self.input_size, self.description.input.fit)

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

    @property
    def batch_size(self) -> int:
        """Pictures that are explained together: as many as fit into a few hundred megabytes."""
        height, width = self.input_size
        return 100 if height * width <= 64 * 64 else 4

    def batches(
        self, images: Sequence[Source], rows: Sequence[int] | None = None, size: int | None = None
    ) -> Iterator[tuple[Sequence[int], list[Pixels]]]:
        """Goes over pictures in batches, of which only one is in memory.

        Args:
            images: pictures as `view` takes them.
            rows: numbers of those to go over, in this order; all where None.
            size: pictures of a batch; `batch_size` where None.

        Yields:
            Numbers of a batch's pictures, and what the network gets to see of them.

        Example:
            >>> [list(rows) for rows, views in model.batches(paths)]  # doctest: +SKIP
            [[0, 1, 2, 3], [4, 5]]
        """
        chosen = range(len(images)) if rows is None else rows
        count = size or self.batch_size
        for start in range(0, len(chosen), count):
            part = chosen[start : start + count]
            yield part, [self.view(images[row]) for row in part]

    # ---- batch → explanations ----------------------------------------------------------------------------------------

    def explain(
        self,
        image: Source,
        *,
        target: int | str | None = None,
        against: int | str | None = None,
        composite: str | Composite | None = None,
    ) -> Explanation:
        """Explains the decision on one picture.

        Args:
            image: path, PIL image or uint8 array, (H, W, 3) RGB or (H, W).
            target: class to explain, as label or number; the predicted one where None.
            against: explain it rather than this class: the score is then the difference of theirs, and no sentence is
                said, for sentences are about one class.
            composite: how to propagate relevance; the model's own way where None.

        Raises:
            ImageError: the picture cannot be read.
            ModelError: the class does not exist.
            RuleError: the composite does not exist or does not fit the network, or a class is contrasted with itself.
        """
        return self.explain_batch([image], target=target, against=against, composite=composite)[0]

    def explain_batch(
        self,
        images: Iterable[Source],
        *,
        target: int | str | None = None,
        against: int | str | None = None,
        composite: str | Composite | None = None,
        words: bool | None = None,
    ) -> list[Explanation]:
        """Explains several pictures with one forward and one backward pass.

        Args:
            images: pictures.
            target, against, composite: as in `explain`.
            words: whether each word of a sentence has its heatmap, which takes longer than all else; if not given, of
                one picture only.
        """
        sources = list(images)
        names = [source_name(source, number) for number, source in enumerate(sources)]
        views = [self.view(source) for source in sources]
        pointing = len(views) == 1 if words is None else words
        return self.explain_views(views, names, target=target, against=against, composite=composite, words=pointing)

    def explain_views(
        self,
        views: Sequence[Pixels],
        names: Sequence[str],
        *,
        target: int | str | None = None,
        against: int | str | None = None,
        composite: str | Composite | None = None,
        sentences: bool = True,
        words: bool = True,
        regions: Sequence[Mapping[str, NDArray[np.bool_]] | None] | None = None,
        made: datetime | None = None,
    ) -> list[Explanation]:
        """Explains pictures that `view` has made, under these names.

        Args:
            views: pictures, uint8 of the input's size.
            names: of the pictures.
            target, against, composite: as in `explain`.
            sentences: say sentences, where the model can.
            words: and why the best one has its words, each with a heatmap.
            regions: of each picture, bool (H, W) of the parts that a sentence can name, or None where unknown.
            made: when, as the settings tell it; now where None.
        """
        if not views:
            return []
        rules = self.composite(composite)
        number = None if target is None else self.class_number(target)
        other = None if against is None else self.class_number(against)
        relevance = self.relevance(views, number, against=other, composite=rules)
        settings = {
            "model": self.name,
            "weights": self.fingerprint,
            "composite": rules.name,
            "preprocessing": self.preprocessing_text(),
            **({"understood": "; ".join(self.network.understood)} if self.network.understood else {}),
            "made": f"{made or now():%Y-%m-%d %H:%M} by Rationale {__version__}",
        }
        (input_name,) = self.network.inputs
        outcome = self.outcome()
        said = self.sentences(relevance) if sentences and other is None else None
        why = self.words(relevance, [each[0] if each else None for each in said], rules) if said and words else None
        return explanations_of(
            relevance, outcome, input_name, self.labels, views, names, settings, said, regions, other, why
        )

    def relevance(
        self,
        views: Sequence[Pixels],
        target: Classes = None,
        *,
        against: int | None = None,
        composite: str | Composite | None = None,
        conditions: Sequence[Condition] = (),
        keep: Collection[str] | None = None,
        network: Network | None = None,
    ) -> Relevance:
        """Relevance of pictures that `view` has made, as this model explains: its composite, bounds and score layer.

        Args:
            views: pictures, uint8 of the input's size.
            target: class to explain, one for all or one for each picture; the predicted one where None.
            against: explain the class rather than this one.
            composite: how to propagate; the model's own way where None.
            conditions, keep: as in `propagate`.
            network: one like the model's own, with other weights.

        Raises:
            RuleError: the composite, a class or a layer does not exist, or does not fit.
        """
        return propagate(
            network or self.network,
            self.preprocess(views),
            target,
            against=against,
            composite=self.composite(composite),
            bounds=self.bounds,
            target_layer=self.target_layer,
            conditions=conditions,
            keep=keep,
        )

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
        """Twelve digits of a SHA-256 over model.toml, the classifier's prototxt, its stages and its weights."""
        files = self.description.files
        paths = (self.directory / "model.toml", files.classifier, local_file(files.weights))
        stages = repr(files.stages).encode() if files.stages else b""
        return short_digest(stages + b"".join(hashlib.sha256(path.read_bytes()).digest() for path in paths))

    @cached_property
    def classifier_fingerprint(self) -> str:
        """Twelve digits of a SHA-256 over what heatmaps by given rules depend on: network, weights, input, output."""
        description = self.description
        how = repr((description.input, description.output, description.lrp.layers))
        files = (description.files.classifier, local_file(description.files.weights))
        return short_digest(how.encode() + b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files))

    def class_number(self, target: int | str) -> int:
        """Number of a class given as label or number.

        Raises:
            ModelError: there is no such class.
        """
        if isinstance(target, str) and target in self.labels:
            return self.labels.index(target)
        if str(target).isdecimal() and len(str(target)) < 10 and int(target) < len(self.labels):
            return int(target)
        shown = ", ".join(self.labels[:10]) + (" …" if len(self.labels) > 10 else "")
        raise ModelError(f"model {self.name!r} has no class {target!r}; its classes are {shown}")

    def preprocessing_text(self) -> str:
        """The preprocessing in words, for reports."""
        how = self.description.input
        height, width = self.input_size
        mean = ", ".join(f"{each:g}" for each in how.mean)
        return f"{how.fit} to {width} × {height}, {how.colour}, (pixel − {mean}) · {how.scale:.6g}"


def read_labels(path: Path) -> tuple[str, ...]:
    """Class names from a file with one a line, without WordNet's numbers (n01440764).

    A name that comes again, as ImageNet's bird and machine called crane, gets a number: “crane (2)”.

    Raises:
        ModelError: it cannot be read, or names no class.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    if not lines:
        raise ModelError(f"{path}: names no class")
    names = [re.sub(r"^n[0-9]{8} ", "", line) for line in lines]
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(found)


def source_name(source: Source, number: int) -> str:
    """The file's name, printable, or “image 3” for what came as an array."""
    if not isinstance(source, str | PathLike):
        return f"image {number + 1}"
    return printable(Path(source).name)


def available_models() -> list[str]:
    """Names of the models under prototxt/."""
    return sorted(path.parent.name for path in shared_directory("prototxt").glob("*/model.toml"))
