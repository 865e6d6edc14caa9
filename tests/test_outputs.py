"""What a network says must be called what it is, everywhere: classes, labels that are true at once, or values."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.batch import Crew, write_heatmaps
from rationale.datasets import load_dataset
from rationale.errors import ModelError
from rationale.evaluation.classification import classify
from rationale.model import Model
from rationale.network import Network
from tests.conftest import ROOT

SOFTMAX = 'type: "Softmax"'
OUTPUT = "[output]"


def like_mnist(
    folder: Path, top: str = SOFTMAX, output: str = "", outputs: int = 10, labels: str | None = None, more: str = ""
) -> Model:
    """LeNet with another top; with fewer outputs, weights that nobody trained."""
    place = folder / "model"
    shutil.copytree(ROOT / "prototxt" / "mnist", place)
    text = (place / "classifier.prototxt").read_text().replace(SOFTMAX, top)
    (place / "classifier.prototxt").write_text(text.replace("num_output: 10", f"num_output: {outputs}") + more)
    weights = ROOT / "weights" / "mnist" / "classifier.caffemodel"
    if outputs != 10:
        weights = place / "untrained.caffemodel"
        Network.load(place / "classifier.prototxt").net.save(str(weights))
    described = (place / "model.toml").read_text().replace("../../weights/mnist/classifier.caffemodel", str(weights))
    if labels:
        lines = [labels if line.startswith("labels") else line for line in described.splitlines()]
        described = "\n".join(lines)
    (place / "model.toml").write_text(described.replace(OUTPUT, f"{OUTPUT}\n{output}"))
    return Model.load(place)


def test_several_labels_are_true_at_once(tmp_path: Path, digits: np.ndarray) -> None:
    """Under a Softmax over ten sigmoids the shares would sum to 1, and none be what the network says."""
    model = like_mnist(tmp_path, 'type: "Sigmoid"')
    explanation = model.explain(digits[0])
    logits = model.network.activation("ip2")[0].astype(np.float64)
    expected = {str(digit): 1 / (1 + np.exp(-logit)) for digit, logit in enumerate(logits)}
    assert explanation.meaning == "labels"
    assert dict(explanation.classes) == pytest.approx(expected)
    true = [label for label, share in explanation.classes if share >= 0.5]
    assert len(true) > 1
    assert [each.split(" ")[0] for each in explanation.headline.split(", ")] == true
    assert (explanation.target, explanation.score) == ("7", pytest.approx(logits[7], rel=1e-5))
    plain = Model.load("mnist").explain(digits[0])
    np.testing.assert_allclose(explanation.heatmap, plain.heatmap, rtol=1e-4, atol=1e-6)
    explanation.save(tmp_path / "out")
    data = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert data["meaning"] == "labels"
    assert data["classes"][0] == {"label": "7", "probability": explanation.probability}
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Labels, each for itself" in page
    assert "before the sigmoid" in page
    with pytest.raises(ModelError, match="says labels, not which class is true"):
        classify(model, model.network, load_dataset("mnist").split("test"))


def test_nothing_true_is_said_so(tmp_path: Path, digits: np.ndarray) -> None:
    model = like_mnist(tmp_path, 'type: "Sigmoid"')
    model.network.parameters(model.network.graph.node("ip2"))[1][...] = -100
    headline = model.explain(digits[0]).headline
    assert headline.startswith("no label; most probable is 7 (< 0.1 %")


@pytest.mark.parametrize(
    ("top", "more", "output"),
    [
        ('type: "Power" power_param { scale: 10 }', "", ""),
        ('type: "Sigmoid"', 'layer { name: "y" type: "Power" bottom: "prob" top: "y" power_param { scale: 100 } }',
         'meaning = "values"'),
    ],
    ids=["power", "sigmoid stated to be a regression"],
)  # fmt: skip
def test_a_regression_has_a_value_and_no_probability(
    top: str, more: str, output: str, tmp_path: Path, digits: np.ndarray
) -> None:
    """“age (100 %)” says nothing of the age."""
    model = like_mnist(tmp_path, top, output, outputs=1, labels='labels = ["age"]', more=more)
    description = replace(model.description, output=replace(model.description.output, target_layer=None))
    model = Model("mine", model.directory, description)
    explanation = model.explain(digits[0])
    ((name, shown),) = model.network.forward(model.preprocess([model.view(digits[0])])).items()
    value = float(shown[0, 0])
    assert name == ("y" if more else "prob")
    assert (explanation.meaning, explanation.probability) == ("values", None)
    assert explanation.classes[0] == ("age", pytest.approx(value))
    assert explanation.headline == f"age {value:.3g}".replace("-", "−")
    explanation.save(tmp_path / "out")
    data = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert (data["probability"], data["classes"]) == (None, [{"label": "age", "value": pytest.approx(value)}])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Values" in page
    assert "100.0 %" not in page
    with h5py.File(tmp_path / "out" / "explanation.h5") as file:
        assert "probability" not in file.attrs
    with pytest.raises(ModelError, match="says values"):
        classify(model, model.network, load_dataset("mnist").split("test"))


@pytest.mark.parametrize(
    ("top", "output", "name"),
    [(SOFTMAX, "", "probability"), ('type: "Sigmoid"', "", "probability"), (SOFTMAX, 'meaning = "values"', "value")],
)
def test_the_batch_file_holds_what_the_network_says(top: str, output: str, name: str, tmp_path: Path) -> None:
    model = like_mnist(tmp_path, top, output)
    test = load_dataset("mnist").split("test")
    some = replace(test, ids=test.ids[:3], images=test.images[:3], labels=test.labels[:3])
    path = write_heatmaps(model, some, tmp_path / "out.h5", crew=Crew(threads=1))
    with h5py.File(path) as file:
        assert file.attrs["meaning"] == model.meaning
        found = file[name][:]
    for row in range(3):
        explanation = model.explain(some.images[row])
        expected = [dict(explanation.classes)[label] for label in model.labels]
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-6)


def test_a_meaning_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"output\.meaning must be classes, labels or values"):
        like_mnist(tmp_path, output='meaning = "odds"')


def test_stages_in_model_toml(tmp_path: Path) -> None:
    place = tmp_path / "model"
    shutil.copytree(ROOT / "prototxt" / "mnist", place)
    text = (place / "classifier.prototxt").read_text()
    (place / "classifier.prototxt").write_text(text.replace(SOFTMAX, f'{SOFTMAX} include {{ stage: "deploy" }}'))
    toml = (place / "model.toml").read_text().replace("../../weights", f"{ROOT}/weights")
    (place / "model.toml").write_text(toml)
    assert Model.load(place).meaning == "values"
    assert Model.load(place, stages=["deploy"]).meaning == "classes"
    (place / "model.toml").write_text(toml.replace("[files]", '[files]\nstages = ["deploy"]'))
    assert Model.load(place).meaning == "classes"
    assert Model.load(place).fingerprint != Model.load(place, stages=["other"]).fingerprint
    (place / "model.toml").write_text(toml.replace("[files]", '[files]\nstages = "deploy"'))
    with pytest.raises(ModelError, match=r"files\.stages must be a list of .* got `str`"):
        Model.load(place)
