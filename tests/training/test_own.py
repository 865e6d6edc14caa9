"""A model for one's own photographs must be trainable and explainable without a line written by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import load_dataset
from rationale.errors import DataError, ModelError, OutputError
from rationale.model import Model
from rationale.network import SequenceNetwork, Solver
from rationale.training import train_classifier
from rationale.training.original import fit_words
from rationale.training.own import begin_model, lopsided


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Light and dark pictures, two classes, in a directory with a space."""
    random = np.random.default_rng(5)
    for kind, level in (("dark", 60), ('li"ght', 190)):
        place = tmp_path / "my photographs" / kind
        place.mkdir(parents=True)
        for number in range(12):
            pixels = np.clip(random.normal(level, 25, (30, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / f"{number}.png")
    return tmp_path / "my photographs"


def test_a_model_of_ones_own_learns_and_explains(photographs: Path, mnist_model: Model, tmp_path: Path) -> None:
    begin_model(tmp_path / "mine", mnist_model, str(photographs))
    model = Model.load(tmp_path / "mine")
    assert model.labels == ("dark", 'li"ght')
    assert model.description.title == "LeNet on my photographs"
    assert model.description.dataset == str(photographs.resolve())
    plain = Model(
        "mine", model.directory, replace(model.description, input=replace(model.description.input, background="any"))
    )
    train_classifier(plain, tmp_path / "mine", iterations=30)
    explained = plain.explain(np.full((30, 40, 3), 200, np.uint8))
    assert explained.label == 'li"ght'


@pytest.mark.parametrize("name", ["flight", "cub"])
def test_definitions_of_photograph_models_fit_other_classes(photographs: Path, name: str, tmp_path: Path) -> None:
    like = Model.load(name)
    begin_model(tmp_path / "mine", like, str(photographs))
    model = Model.load(tmp_path / "mine")
    assert model.input_size == like.input_size
    assert not model.description.training.with_val
    assert "num_output: 2 " in (tmp_path / "mine" / "train_val.prototxt").read_text()
    assert model.description.files.weights == tmp_path / "mine" / "classifier.caffemodel"


def test_a_generator_of_the_originals_sizes_fits_its_classes_and_words(photographs: Path, tmp_path: Path) -> None:
    begin_model(tmp_path / "mine", Model.load("cub"), str(photographs), explainer=True)
    model = Model.load(tmp_path / "mine")
    how = model.explainer_settings
    assert model.explainer is None  # yet to be trained
    assert {path.name for path in fit_words(model, 1200)} == {
        "explainer.prototxt", "explainer_step.prototxt", "sentence_classifier.prototxt",
    }  # fmt: skip
    assert not fit_words(model, 1200)
    long, step = SequenceNetwork.load(how.network), SequenceNetwork.load(how.step)
    long.lend_weights(step)
    assert long.parameters("embedding")[0].shape == (1200, 1000)
    assert [each.shape for each in step.parameters("explanation")][2:] == [(4000, 1000), (4000, 1000)]
    assert (step.size("label", 1), step.size("where", 1), step.size("feature", 1)) == (2, 64, 512)
    assert step.outputs["scores"][-1] == 1200
    judge = SequenceNetwork.load(how.network.with_name("sentence_classifier.prototxt"))
    assert judge.outputs["class"][-1] == 2
    assert judge.steps >= long.steps
    assert how.solver is not None
    solver = Solver.load(how.solver, tmp_path)
    assert (solver.parameter.type, solver.parameter.max_iter, solver.batch_size("words", 1)) == ("SGD", 15_000, 100)


def test_what_cannot_begin_is_named(photographs: Path, mnist_model: Model, tmp_path: Path) -> None:
    begin_model(tmp_path / "mine", mnist_model, str(photographs))
    with pytest.raises(OutputError, match="holds a model already"):
        begin_model(tmp_path / "mine", mnist_model, str(photographs))
    with pytest.raises(ModelError, match="'imagenet' has no solver"):
        begin_model(tmp_path / "other", Model.load("imagenet"), str(photographs))


def test_names_that_would_mislead_are_refused(photographs: Path, mnist_model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="'cub' is the name of a model"):
        begin_model(tmp_path / "cub", mnist_model, str(photographs))
    (photographs / "two\nlines").mkdir()
    Image.new("RGB", (9, 9)).save(photographs / "two\nlines" / "1.png")
    with pytest.raises(DataError, match=r"class 'two\\nlines'"):
        begin_model(tmp_path / "mine", mnist_model, str(photographs))
    assert not (tmp_path / "mine").exists()


def test_a_directory_does_not_hide_a_data_set(mnist_model: Model, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "mnist").mkdir()
    monkeypatch.chdir(tmp_path)
    begin_model(tmp_path / "mine", mnist_model, "mnist")
    assert Model.load(tmp_path / "mine").description.dataset == "mnist"


def test_splits_without_a_class_are_told(photographs: Path, tmp_path: Path) -> None:
    assert lopsided(load_dataset(str(photographs))) == []
    one = Image.open(next((photographs / "dark").iterdir()))
    for number in range(10):
        (tmp_path / "few" / "alike").mkdir(parents=True, exist_ok=True)
        one.save(tmp_path / "few" / "alike" / f"{number}.png")
    for number, path in enumerate(sorted((photographs / 'li"ght').iterdir())):
        (tmp_path / "few" / "others").mkdir(exist_ok=True)
        Image.open(path).save(tmp_path / "few" / "others" / f"{number}.png")
    found = lopsided(load_dataset(str(tmp_path / "few")))
    assert "no picture of alike to measure with; look-alikes are kept together" in found
