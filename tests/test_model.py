"""A model directory must be found, checked, and turn pictures into the numbers its network was trained on."""

import json
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data

import rationale
from rationale.description import Training, reference, schema
from rationale.errors import ModelError
from rationale.model import Model, available_models, read_labels
from tests.conftest import ROOT, needs


def copied(folder: Path, **changes: str) -> Path:
    """The mnist model in a directory of its own, with lines of its model.toml replaced."""
    place = folder / "prototxt" / "mine"
    shutil.copytree(ROOT / "prototxt" / "mnist", place)
    text = (place / "model.toml").read_text()
    text = text.replace("../../weights/", f"{ROOT}/weights/")
    for old, new in changes.items():
        key = old.replace("__", "_")
        lines = [new if line.split("=")[0].strip() == key else line for line in text.splitlines()]
        text = "\n".join(lines)
    (place / "model.toml").write_text(text)
    return place


def test_weights_that_people_bring_are_asked_for() -> None:
    with pytest.raises(
        ModelError, match=r"VGG_ILSVRC_16_layers\.caffemodel: is not there; bring the weights from http"
    ):
        _ = rationale.load("vgg16").network


def test_a_model_loads_by_name_and_by_path(tmp_path: Path) -> None:
    assert "mnist" in available_models()
    assert rationale.load("mnist").labels == tuple("0123456789")
    mine = rationale.load(copied(tmp_path))
    assert mine.name == "mine"
    assert mine.input_size == (28, 28)


@pytest.mark.parametrize("name", ["nothing", "../mnist", "", "/", "mnist/model.toml", "x" * 5000, "a\0b"])
def test_an_unknown_model_names_the_known_ones(name: str) -> None:
    with pytest.raises(ModelError, match="known are caffenet, cub, flight, googlenet, imagenet, mnist"):
        rationale.load(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"title": "titel = 'x'"}, "unknown key 'titel'"),
        ({"title": ""}, "lacks 'title'|lacks.*title"),
        ({"title": "title = "}, "model.toml"),
        ({"colour": "colour = 'pink'"}, "grey, rgb or bgr"),
        ({"fit": "fit = 'squash'"}, "crop, pad or stretch"),
        ({"mean": "mean = [1.0, 2.0]"}, "list of 1 or 1 numbers"),
        ({"scale": "scale = 'big'"}, "other than 0"),
        ({"labels": "labels = []"}, "different strings, not empty"),
        ({"composite": "composite = 'magic'"}, "no composite is named 'magic'"),
        ({"bounds": "bounds = [1.0]"}, "two numbers"),
        ({"weights": ""}, "lacks.*weights"),
        ({"weights": "weights = 3"}, "files.weights must be a path"),
        ({"labels": "labels = 5"}, "list of different strings"),
        ({"labels": "labels = ['a', 'a']"}, "labels must be different"),
        ({"mean": "mean = 0.0"}, "must be a list of"),
        ({"scale": "scale = true"}, "other than 0"),
        ({"bounds": "bounds = [1.0, 0.0]"}, "the lower first"),
        ({"composite": "composite = {a = 1}"}, "composite must be the name of a composite"),
        ({"bounds": "layers = {conv1 = 'magic'}"}, "no rule is written 'magic'"),
        ({"rotate": "rotate = 'x'"}, "training.rotate must be an angle.*got `str`"),
        ({"rotate": "rotate = nan"}, "angle from 0 to 180|not finite"),
        ({"scale": "scale = inf"}, "not finite"),
        ({"rotate": "rotate = -10"}, "angle from 0 to 180"),
        ({"rotate": "rotate = 200.0"}, "angle from 0 to 180"),
        ({"zoom": "zoom = -0.1"}, "zoom must be a share from 0 to 0.9"),
        ({"zoom": "zoom = 1.0"}, "zoom must be a share from 0 to 0.9"),
        ({"shift": "shift = -2"}, "shift must be.* not negative"),
        ({"shift": "shift = 2\ncolour = 1.5"}, "training.colour must be a share from 0 to 1"),
        ({"shift": "shift = 2\nborder = -0.5"}, "training.border must be a share from 0 to 1"),
        ({"title": "title = 'x'\ninput = 3"}, "must be a table|Cannot overwrite|declared"),
    ],
)
def test_mistakes_in_model_toml_are_named(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        rationale.load(copied(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "labels = ['a', 'b']"}, "2 labels for 10 classes"),
        ({"colour": "colour = 'rgb'", "mean": "mean = [0.0]"}, "does not fit an input of"),
        ({"feature_layer": "feature_layer = 'ip9'"}, "is no layer"),
    ],
)
def test_a_description_that_does_not_fit_the_network_is_named(changes: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        _ = rationale.load(copied(tmp_path, **changes)).network


def test_digits_become_numbers_from_0_to_1(mnist_model: Model, digits: np.ndarray) -> None:
    batch = mnist_model.preprocess([mnist_model.view(digit) for digit in digits])
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    np.testing.assert_allclose(batch, digits[:, None] / 255, atol=1e-6)


def test_a_dark_digit_on_white_paper_is_inverted(mnist_model: Model, digits: np.ndarray) -> None:
    np.testing.assert_array_equal(mnist_model.view(255 - digits[0]), digits[0])
    colour = np.repeat(np.kron(255 - digits[0], np.ones((4, 4), np.uint8))[:, :, None], 3, axis=2)
    assert mnist_model.explain(colour).label == mnist_model.explain(digits[0]).label


def test_colour_order_and_mean(tmp_path: Path) -> None:
    model = rationale.load(
        copied(tmp_path, colour="colour = 'bgr'", mean="mean = [1.0, 2.0, 3.0]", scale="scale = 2.0")
    )
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[:] = (10, 20, 30)
    np.testing.assert_array_equal(model.preprocess([pixels])[0, :, 0, 0], [58, 36, 14])


@pytest.mark.parametrize("target", ["11", 10, -1, "seven", ""])
def test_a_class_that_does_not_exist_is_named(target: object, mnist_model: Model, digits: np.ndarray) -> None:
    with pytest.raises(ModelError, match="no class"):
        mnist_model.explain(digits[0], target=target)


def test_own_rules_in_model_toml(tmp_path: Path, digits: np.ndarray) -> None:
    model = rationale.load(
        copied(tmp_path, bounds="bounds = [0.0, 1.0]\nlayers = { conv1 = 'flat', 'ip*' = 'epsilon(0.1)' }")
    )
    rules = {account.layer: account.rule for account in model.explain(digits[0]).ledger}
    assert (rules["conv1"], rules["conv2"], rules["ip1"]) == ("flat", "gamma(0.25)", "epsilon(0.1)")
    assert model.explain(digits[0], composite="epsilon-gamma-box").ledger[-1].rule == "box"


def test_explaining_together_equals_explaining_alone(mnist_model: Model, digits: np.ndarray) -> None:
    together = mnist_model.explain_batch(list(digits[:5]))
    for digit, explanation in zip(digits, together, strict=False):
        alone = mnist_model.explain(digit)
        assert alone.label == explanation.label
        np.testing.assert_allclose(alone.heatmap, explanation.heatmap, atol=1e-5)
    assert mnist_model.explain_batch([]) == []


def test_labels_may_lie_in_a_file(tmp_path: Path) -> None:
    """One a line; what comes twice gets a number, for a class must be told by its name."""
    (tmp_path / "labels.txt").write_text("n02012849 crane\nn00000001 tench, Tinca tinca\n\ncrane\n")
    assert read_labels(tmp_path / "labels.txt") == ("crane", "tench, Tinca tinca", "crane (2)")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(ModelError, match=r"empty\.txt: names no class"):
        read_labels(tmp_path / "empty.txt")
    with pytest.raises(ModelError, match="cannot be read"):
        read_labels(tmp_path / "gone.txt")


def test_imagenets_thousand_classes_come_with_the_weights() -> None:
    needs("imagenet")
    model = rationale.load("imagenet")
    assert len(set(model.labels)) == 1000
    assert model.labels[285] == "Egyptian cat"
    cat = model.explain(skimage.data.chelsea())
    assert cat.label == "Egyptian cat"
    assert cat.heatmap.shape == (227, 227)


def test_bounds_are_what_black_and_white_become() -> None:
    low, high = rationale.load("imagenet").bounds
    assert (low, high) == ((-104, -117, -123), (151, 138, 132))


def test_the_documents_name_every_key_of_training() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    assert [each.name for each in fields(Training) if f"| `{each.name}` |" not in text] == []


def test_another_default_composite_does_not_undo_what_was_measured(mnist_model: Model) -> None:
    def changed(**lrp: object) -> Model:
        description = replace(mnist_model.description, lrp=replace(mnist_model.description.lrp, **lrp))
        return Model("mnist", mnist_model.directory, description)

    known = mnist_model.classifier_fingerprint
    assert changed(composite="epsilon").classifier_fingerprint == known
    assert changed(layers={"conv1": "flat"}).classifier_fingerprint != known


def test_relevance_is_what_explanations_show(mnist_model: Model, digits: np.ndarray) -> None:
    views = [mnist_model.view(digit) for digit in digits[:2]]
    found = mnist_model.relevance(views, [3, 7], keep=["data"])
    assert list(found) == ["data"]
    for row, target in enumerate((3, 7)):
        explained = mnist_model.explain(digits[row], target=target)
        assert found["data"][row].sum(axis=0) == pytest.approx(explained.heatmap, abs=1e-5)


def test_people_and_editors_are_told_every_key_of_model_toml() -> None:
    """The file that model.toml names in its first line is what the types say; every shipped one keeps to it."""
    kept = ROOT / "prototxt" / "model.schema.json"
    assert json.loads(kept.read_text()) == schema(), "python -m rationale.description > prototxt/model.schema.json"
    for path in sorted(ROOT.glob("prototxt/*/model.toml")):
        assert path.read_text().startswith("#:schema ../model.schema.json\n")
    page = (ROOT / "docs" / "model-toml.md").read_text()
    assert page == reference(), "python -m rationale.description docs > docs/model-toml.md"
    table = schema()["$defs"]["Training"]
    assert table["additionalProperties"] is False
    assert table["properties"]["rotate"]["maximum"] == 180
