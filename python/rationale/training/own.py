"""Starts a model of a user's own: another model's definitions, for the classes of other photographs."""

import os
import re
from pathlib import Path

from rationale.datasets import load_dataset
from rationale.errors import ModelError, OutputError
from rationale.fetching import is_fetched
from rationale.model import Model


def begin_model(folder: Path, like: Model, dataset: str) -> Path:
    """Writes model.toml and prototxt of a new model into `folder` and returns the path of its model.toml.

    Its labels are the classes of the data set; its weights, `classifier.caffemodel` in `folder`, are yet to be trained:
    `rationale train classifier --model FOLDER --out FOLDER`.

    Args:
        folder: made; must not hold a model yet.
        like: whose definitions are taken; one that can be trained.
        dataset: name of a data set, or a directory of class directories.

    Raises:
        ModelError: `like` cannot be trained, or its number of classes stands not once in its definitions.
        DataError: the data set is none.
        OutputError: `folder` holds a model, or cannot be written.
    """
    files = like.description.files
    if files.solver is None:
        raise ModelError(f"model {like.name!r} has no solver; take one that can be trained, such as cub")
    classes = load_dataset(dataset).classes
    text = _description(like, folder, dataset, classes)
    definitions = {
        path.name: path.read_text(encoding="utf-8")
        for path in (files.classifier, files.solver.parent / "train_val.prototxt")
    }
    written = {name: _with_classes(content, like, len(classes), name) for name, content in definitions.items()}
    written |= {files.solver.name: files.solver.read_text(encoding="utf-8"), "model.toml": text}
    if (folder / "model.toml").exists():
        raise OutputError(f"{folder}: holds a model already; choose another directory")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in written.items():
            (folder / name).write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
    return folder / "model.toml"


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
    place = os.path.relpath(Path(dataset).resolve(), folder.resolve()) if Path(dataset).is_dir() else dataset
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
    return _replaced(r"^with_val = .*\n", "", text)


def _replaced(pattern: str, new: str, text: str) -> str:
    return re.sub(pattern, lambda _: new, text, flags=re.MULTILINE)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
