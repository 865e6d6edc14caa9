"""A model for one's own photographs must be trainable and explainable without a line written by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.errors import ModelError, OutputError
from rationale.model import Model
from rationale.training import train_classifier
from rationale.training.own import begin_model


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


def test_what_cannot_begin_is_named(photographs: Path, mnist_model: Model, tmp_path: Path) -> None:
    begin_model(tmp_path / "mine", mnist_model, str(photographs))
    with pytest.raises(OutputError, match="holds a model already"):
        begin_model(tmp_path / "mine", mnist_model, str(photographs))
    with pytest.raises(ModelError, match="'imagenet' has no solver"):
        begin_model(tmp_path / "other", Model.load("imagenet"), str(photographs))
