"""model.toml as data: all that a model's prototxt cannot say, checked by its types when it is read.

Each field says in its type what it may be and, in words, what it means: `schema` gives both to editors as JSON Schema
(prototxt/model.schema.json), and an error message ends with them.
"""

import json
import math
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from rationale.errors import ModelError, RuleError
from rationale.fetching import is_fetched
from rationale.lrp.composites import get_composite
from rationale.network import Meaning

Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=1)]
File = Annotated[Path, Meta(description="a path relative to model.toml, or data:NAME/FILE of a fetched file set")]


@dataclass(frozen=True)
class Files:
    """The files of the classifier."""

    classifier: File
    weights: File
    solver: Annotated[File | None, Meta(description="the solver that trains the classifier")] = None
    weights_from: Annotated[str, Meta(description="where people get weights that do not come along")] = ""
    stages: Annotated[
        tuple[str, ...], Meta(description="a list of the stages in which an all-in-one definition is built")
    ] = ()


@dataclass(frozen=True)
class Input:
    """How a picture becomes numbers: (pixel − mean) · scale, channels in the order `colour`."""

    colour: Annotated[Literal["grey", "rgb", "bgr"], Meta(description="grey, rgb or bgr")]
    mean: Annotated[
        tuple[float, ...], Meta(min_length=1, max_length=3, description="a list of 1 number, or of 3, one a channel")
    ] = (0.0,)
    scale: Annotated[float, Meta(description="a number other than 0")] = 1.0
    fit: Annotated[
        Literal["crop", "pad", "stretch"], Meta(description="crop, pad or stretch: how pictures get the input's size")
    ] = "crop"
    background: Annotated[
        Literal["any", "dark"], Meta(description="any, or dark where pictures on light ground are to be inverted")
    ] = "any"

    @property
    def channels(self) -> int:
        """Number of the input's channels."""
        return 1 if self.colour == "grey" else 3


@dataclass(frozen=True)
class Output:
    """What the numbers at the top mean.

    `meaning` is "classes" (one is true), "labels" (each is true or not) or "values" (a regression), where the network's
    own Softmax or Sigmoid does not tell.
    """

    labels: Annotated[
        Annotated[tuple[str, ...], Meta(min_length=1)] | Annotated[str, Meta(min_length=1)],
        Meta(
            description="a list of different strings, not empty, in the scores' order, or a path to a file of lines",
            extra_json_schema={"uniqueItems": True},
        ),
    ]
    target_layer: Annotated[str | None, Meta(description="the layer of the scores, where there are several")] = None
    feature_layer: Annotated[str | None, Meta(description="the layer whose channels are the units")] = None
    meaning: Annotated[Meaning | None, Meta(description="classes, labels or values")] = field(
        default=None, repr=False
    )  # heatmaps do not depend on it


@dataclass(frozen=True)
class Lrp:
    """How decisions of this model are explained unless the caller says otherwise."""

    composite: Annotated[str, Meta(description="the name of a composite of rules")] = "epsilon-plus-flat"
    bounds: Annotated[
        tuple[float, float] | None, Meta(description="two numbers of the preprocessed input, the lower first")
    ] = None
    layers: Annotated[
        Mapping[str, str], Meta(description='a table of rules for single layers, patterns, or "type:…"')
    ] = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How the classifier is trained (docs/training.md).

    With `photographs`, pictures are changed as photographs (`augmented_photographs`), and zoom and shift are shares of
    the view; otherwise as drawings (`augment`), and shift is in pixels.
    """

    start: Annotated[File | None, Meta(description="weights to begin with, for the layers of the same name")] = None
    photographs: Annotated[bool, Meta(description="true where pictures are photographs, not drawings")] = False
    rotate: Annotated[float, Meta(ge=0, le=180, description="an angle from 0 to 180 degrees")] = 0.0
    zoom: Annotated[float, Meta(ge=0, le=0.9, description="a share from 0 to 0.9")] = 0.0
    shift: Annotated[float, Meta(ge=0, description="a share of the view of photographs, else pixels, not negative")] = (
        0.0
    )
    flip: Annotated[bool, Meta(description="true where left and right may be exchanged")] = False
    balance: Annotated[bool, Meta(description="true where every class is to be seen equally often")] = False
    with_val: Annotated[
        bool, Meta(description="true where the validation split is learnt from too, once choices are made")
    ] = False
    colour: Annotated[Share, Meta(description="a share from 0 to 1 of brightness, contrast and saturation")] = 0.0
    border: Annotated[Share, Meta(description="a share from 0 to 1 of pictures that get other surroundings")] = 0.0
    average: Annotated[
        Share, Meta(description="a share from 0 to 1 of the updates, the last ones, whose weights are averaged")
    ] = 0.0


@dataclass(frozen=True)
class Explainer:
    """The generator of sentences (docs/sentences.md); files as in [files]."""

    network: Annotated[File, Meta(description="the long network, to learn with")]
    step: Annotated[File, Meta(description="the network of one step, to speak with")]
    weights: Annotated[File, Meta(description="the generator's .caffemodel; no sentences while it is not there")]
    language: Annotated[File, Meta(description="vocabulary and phrases, written by the training")]
    captions: Annotated[File, Meta(description="captions that the heatmap selected, to learn from")]
    unlinked: Annotated[File, Meta(description="captions about parts drawn by lot, to compare with")]
    solver: Annotated[File | None, Meta(description="the solver of the relevance loss")] = None
    discriminative_solver: Annotated[File | None, Meta(description="the solver of the discriminative loss")] = None
    sentence_solver: Annotated[File | None, Meta(description="the solver of the sentence classifier")] = None
    grid: Annotated[
        tuple[Count, Count],
        Meta(description="two whole numbers, columns and rows of cells in which relevance is seen, at least 1"),
    ] = (8, 8)
    minimum_count: Annotated[
        Count, Meta(description="how often a word must come in the captions to be learnt, at least 1")
    ] = 3
    beam: Annotated[Count, Meta(description="a whole number of sentences pursued at the same time, at least 1")] = 5
    sure: Annotated[
        Share, Meta(description='the probability from 0 to 1 from which on no sentence says "probably"')
    ] = 0.9
    belief: Annotated[
        Share,
        Meta(description="from 0 to 1, how probable what is said must be among all that could be said of the same"),
    ] = 0.0
    with_val: Annotated[
        bool, Meta(description="true where the validation split is learnt from too, once choices are made")
    ] = False


@dataclass(frozen=True)
class Description:
    """model.toml as data."""

    title: str
    files: Files
    input: Input
    output: Output
    lrp: Lrp = field(default_factory=Lrp)
    training: Training = field(default_factory=Training)
    description: str = ""
    licence: str = "unknown"
    dataset: Annotated[str | None, Meta(description="the name of a data set, or the path of a folder of pictures")] = (
        None
    )
    explainer: Explainer | None = None


def read_description(path: Path) -> Description:
    """Parses and checks a model.toml; paths come out absolute, those of fetched files stay as they are.

    Raises:
        ModelError: it is no TOML, lacks something, holds an unknown key or a value that makes no sense.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ModelError(f"{path}: {error}") from error
    _check_keys(content, Description, str(path))

    def located(kind: type, value: object) -> Path:
        if kind is not Path or not isinstance(value, str) or not value:
            raise TypeError(f"Expected a path, got {value!r}")
        return _located(value, path.parent)

    try:
        description = msgspec.convert(content, Description, dec_hook=located)
    except msgspec.ValidationError as error:
        raise ModelError(f"{path}: {_in_words(str(error))}") from error
    for what, holds in _across_fields(description).items():
        if not holds:
            raise ModelError(f"{path}: {what}")
    try:
        get_composite(description.lrp.composite).with_layers(description.lrp.layers)
    except RuleError as error:
        raise ModelError(f"{path}: {error}") from error
    return _with_absolute_names(description, path.parent)


def schema() -> dict[str, Any]:
    """JSON Schema of model.toml, for editors that complete and check as one types."""
    found = msgspec.json.schema(Description, schema_hook=lambda kind: {"type": "string"})
    for table in found["$defs"].values():
        table["additionalProperties"] = False
    return dict(json.loads(json.dumps(found)))


def _check_keys(content: Mapping[str, Any], kind: type, where: str) -> None:
    """Refuses keys that mean nothing: a misspelt one would be left out in silence."""
    tables = {each.name: _table_of(hint) for each, hint in _fields(kind)}
    if unknown := set(content) - set(tables):
        raise ModelError(f"{where}: unknown key {sorted(unknown)[0]!r}; known are {', '.join(sorted(tables))}")
    for name, table in tables.items():
        if table is not None and name in content:
            if not isinstance(content[name], dict):
                raise ModelError(f"{where}: [{name}]: must be a table")
            _check_keys(content[name], table, f"{where}: [{name}]")


def _fields(kind: type) -> Iterator[tuple[Any, Any]]:
    hints = get_type_hints(kind, include_extras=True)
    return ((each, hints[each.name]) for each in fields(kind))


def _table_of(hint: Any) -> type | None:
    """The dataclass that a field holds, or None for one that holds a value."""
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and is_dataclass(each):
            return each
    return None


def _in_words(message: str) -> str:
    """What is wrong, where, and what should be there, of an error of msgspec: "… - at `$.input.scale`"."""
    what, _, place = message.partition(" - at `$")
    names = place.rstrip("`").strip(".").split("[")[0].split(".") if place else []
    if "missing required field" in what:
        missing = what.split("`")[1]
        return f"[{names[0]}]: lacks '{missing}'" if names else f"lacks '{missing}'"
    kind: type | None = Description
    meant = ""
    for name in names:
        hint = next((hint for each, hint in _fields(kind) if each.name == name), None) if kind is not None else None
        kind = _table_of(hint)
        meant = next(_descriptions(hint), "")
    wanted = f"must be {meant}; " if meant else "is wrong: "
    return f"{'.'.join(names)} {wanted}{what[:1].lower()}{what[1:]}"


def _descriptions(hint: Any) -> Iterator[str]:
    """What a field means, the outermost words first."""
    if get_origin(hint) is Annotated:
        for note in reversed(hint.__metadata__):
            if isinstance(note, Meta) and note.description:
                yield note.description
    for each in get_args(hint):
        yield from _descriptions(each)


def _across_fields(description: Description) -> dict[str, bool]:
    """What a single field's type cannot say."""
    how, labels, bounds = description.input, description.output.labels, description.lrp.bounds
    photographs, shift = description.training.photographs, description.training.shift
    return {
        "a number is not finite": all(map(math.isfinite, _numbers(description))),
        f"input.mean must be a list of 1 or {how.channels} numbers": len(how.mean) in (1, how.channels),
        "input.scale must be a number other than 0": how.scale != 0,
        "output.labels must be different": isinstance(labels, str) or len(set(labels)) == len(labels),
        "lrp.bounds must be two numbers, the lower first": bounds is None or bounds[0] < bounds[1],
        "training.shift must be a share from 0 to 1 of the view of photographs": not photographs or shift <= 1,
        "training.photographs wants a colour of rgb or bgr": not photographs or how.colour != "grey",
    }


def _numbers(value: Any) -> Iterator[float]:
    if is_dataclass(value):
        for each in fields(value):
            yield from _numbers(getattr(value, each.name))
    elif isinstance(value, tuple):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, float):
        yield value


def _located(value: str, here: Path) -> Path:
    return Path(value) if is_fetched(value) else here / value


def _with_absolute_names(description: Description, here: Path) -> Description:
    """Labels and data set may be names, or paths relative to model.toml."""
    labels, dataset = description.output.labels, description.dataset
    if isinstance(labels, str):
        description = replace(description, output=replace(description.output, labels=str(_located(labels, here))))
    if dataset is not None and ("/" in dataset or (here / dataset).exists()):
        description = replace(description, dataset=str((here / dataset).resolve()))
    return description


def reference() -> str:
    """docs/model-toml.md: every key with its meaning, choices and default."""
    tables = [(each, table) for each, hint in _fields(Description) if (table := _table_of(hint)) is not None]
    plain = [(each, hint) for each, hint in _fields(Description) if _table_of(hint) is None]
    lines = [
        "# model.toml",
        "",
        "What a model's prototxt cannot say, beside it in its directory. Written from the code by `python -m",
        "rationale.description docs`; do not edit. Editors check and complete it by `prototxt/model.schema.json`,",
        "which its first line names (`#:schema ../model.schema.json`). A key that is not listed here is an error.",
        "",
        *_rows(plain),
    ]
    for each, table in tables:
        must = "" if _is_wanted(each) else " (may be left out)"
        words = " ".join((table.__doc__ or "").split())
        lines += ["", f"## [{each.name}]{must}", "", words, "", *_rows(_fields(table))]
    return "\n".join(lines) + "\n"


def _rows(keys: Iterable[tuple[Any, Any]]) -> list[str]:
    lines = ["| key | what it is | if left out |", "| --- | --- | --- |"]
    for each, hint in keys:
        meaning = next(_descriptions(hint), "text").replace("|", "\\|")
        lines.append(f"| `{each.name}` | {meaning} | {'an error' if _is_wanted(each) else _default(each)} |")
    return lines


def _is_wanted(each: Any) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _default(each: Any) -> str:
    value = each.default if each.default is not MISSING else each.default_factory()
    return f"`{json.dumps(value)}`" if value not in (None, "", (), {}) else "nothing"


if __name__ == "__main__":
    docs = sys.argv[1:] == ["docs"]
    print(reference() if docs else json.dumps(schema(), indent=1, ensure_ascii=False), end="" if docs else "\n")
