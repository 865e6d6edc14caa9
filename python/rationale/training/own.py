"""Starts a model of a user's own: another model's definitions, for the classes of other photographs."""

import os
import re
from pathlib import Path

from rationale.datasets import DATASETS, Dataset, load_dataset
from rationale.datasets.folder import counts
from rationale.errors import DataError, ModelError, OutputError
from rationale.fetching import is_fetched
from rationale.model import Model, available_models
from rationale.resources import write_whole
from rationale.training.original import original_definitions

MOST_CLASSES_LISTED = 30
_EXPLAINER = """
[explainer]
network = "explainer.prototxt"
step = "explainer_step.prototxt"
weights = "explainer.caffemodel"
language = "explainer.json"
captions = "captions.csv"
unlinked = "captions-unlinked.csv"
solver = "explainer_solver.prototxt"
discriminative_solver = "explainer_discriminative_solver.prototxt"
sentence_solver = "sentence_classifier_solver.prototxt"
grid = [8, 8]
minimum_count = 5
"""
_PURPOSES = {"train": "learn from", "val": "make choices by", "test": "measure with"}


def begin_model(folder: Path, like: Model, dataset: str, *, explainer: bool = False) -> Path:
    """Writes model.toml and prototxt of a new model into `folder` and returns the path of its model.toml.

    Its labels are the classes of the data set; its weights, `classifier.caffemodel` in `folder`, are yet to be trained:
    `rationale train classifier --model FOLDER --out FOLDER`.

    Args:
        folder: made; must not hold a model yet.
        like: whose definitions are taken; one that can be trained.
        dataset: name of a data set, or a directory of class directories.
        explainer: also the definitions of a generator of sentences, as Hendricks et al. 2016 had it.

    Raises:
        ModelError: `like` cannot be trained, or its number of classes stands not once in its definitions.
        DataError: the data set is none.
        OutputError: `folder` holds a model, or cannot be written.
    """
    if folder.name in available_models():
        raise ModelError(f"{folder.name!r} is the name of a model that is known already; choose another")
    files = like.description.files
    if files.solver is None:
        raise ModelError(f"model {like.name!r} has no solver; take one that can be trained, such as cub")
    classes = load_dataset(dataset).classes
    if unclear := next((each for each in classes if not each.isprintable()), None):
        raise DataError(f"{dataset}: the class {unclear!r} has a name that cannot be printed; rename its directory")
    text = _description(like, folder, dataset, classes)
    definitions = {
        path.name: path.read_text(encoding="utf-8")
        for path in (files.classifier, files.solver.parent / "train_val.prototxt")
    }
    written = {name: _with_classes(content, like, len(classes), name) for name, content in definitions.items()}
    written |= {files.solver.name: files.solver.read_text(encoding="utf-8"), "model.toml": text}
    if explainer:
        written |= original_definitions(like, len(classes))
        written["model.toml"] += _EXPLAINER
    if (folder / "model.toml").exists():
        raise OutputError(f"{folder}: holds a model already; choose another directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in written.items():
            write_whole(folder / name, content)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / "model.toml"


def counted(dataset: Dataset) -> list[str]:
    """How many pictures of each class are in each split, a line each; of many classes, the least and the most."""
    found = counts(dataset)
    head = ("", *found)
    rows = [(label, *(str(found[name][label]) for name in found)) for label in dataset.classes]
    if len(rows) > MOST_CLASSES_LISTED:
        ends = [(min(each[label] for label in dataset.classes), max(each.values())) for each in found.values()]
        rows = [(f"{len(rows)} classes, each", *(f"{least} to {most}" for least, most in ends))]
    table = [head, *rows, ("pictures", *(str(sum(each.values())) for each in found.values()))]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in table
    ]


def lopsided(dataset: Dataset) -> list[str]:
    """What is wrong with how the classes come in the splits, one line each: a split or a class without pictures."""
    found = []
    for name in ("train", "val", "test"):
        try:
            present = set(dataset.split(name).labels.tolist())
        except DataError:
            found.append(f"there are no pictures to {_PURPOSES[name]}; more of each class are wanted")
            continue
        if lacking := [label for number, label in enumerate(dataset.classes) if number not in present]:
            found.append(f"no picture of {', '.join(lacking)} to {_PURPOSES[name]}; look-alikes are kept together")
    return found


def _with_classes(text: str, like: Model, count: int, name: str) -> str:
    """The definition with another number of classes."""
    found, times = re.subn(rf"num_output: {len(like.labels)}\b", f"num_output: {count}", text)
    if times != 1:
        raise ModelError(f"model {like.name!r}: its number of classes stands {times} times in {name}, not once")
    return found


def _description(like: Model, folder: Path, dataset: str, classes: tuple[str, ...]) -> str:
    """The other's model.toml with title, data set, labels and files of the new model."""
    text = (like.directory / "model.toml").read_text(encoding="utf-8")
    start = like.description.training.start
    place = dataset
    if dataset not in DATASETS:  # "./" tells a directory from a name
        place = os.path.join(os.curdir, os.path.relpath(Path(dataset).resolve(), folder.resolve()))
    values = {
        "title": f"{like.description.title.split(' on ')[0]} on {Path(dataset).resolve().name or dataset}",
        "description": f"Tells {len(classes)} classes apart",
        "licence": "unknown",
        "dataset": place,
        "weights": "classifier.caffemodel",
    }
    if start is not None and not is_fetched(start):
        values["start"] = str(start)
    for key, value in values.items():
        text = _replaced(rf'^{key} = ".*"', f"{key} = {_quoted(value)}", text)
    labels = "".join(f"  {_quoted(each)},\n" for each in classes)
    text = _replaced(r"^labels = \[[^]]*\]", f"labels = [\n{labels}]", text)
    text = _replaced(r"^#:schema .*\n", "", text)
    text = _replaced(r"(?s)^\[explainer\].*?(?=^\[|\Z)", "", text)  # its sentences are about the other's classes
    return _replaced(r"^with_val = .*\n", "", text).rstrip() + "\n"


def _replaced(pattern: str, new: str, text: str) -> str:
    return re.sub(pattern, lambda _: new, text, flags=re.MULTILINE)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
