"""Sentences in the product: what a user of explain, batch and compare sees of them."""

import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from rationale.batch import Crew, write_heatmaps
from rationale.captions.known import KnownRegions
from rationale.datasets import load_dataset
from rationale.errors import DataError, ModelError
from rationale.explainer.decoding import Decoded
from rationale.explainer.explainer import read_spoken, write_spoken
from rationale.explainer.vocabulary import UNKNOWN
from rationale.model import Model
from tests.conftest import needs
from tests.test_cli import run


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load("flight")


@pytest.fixture(scope="module")
def photograph() -> Path:
    needs("flight")
    files = load_dataset("flight").split("test").files
    assert files is not None
    return files[3]


def test_explain_says_why(model: Model, photograph: Path, tmp_path: Path) -> None:
    done = run("explain", photograph, "--model", "flight", "--out", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert f"\n  {told['sentence']}\n" in done.stdout
    assert told["sentence"].endswith(".")
    assert len(told["sentences"]) == 3
    assert model.explainer is not None
    assert model.explainer.spoken.language is not None
    assert model.explainer.spoken.language.nouns[told["label"]] in told["sentence"]
    for mention in told["sentences"][0]["mentions"]:
        assert told["sentence"][mention["start"] : mention["end"]] == mention["text"]
    assert 0 <= told["consistency"] <= 1  # the photograph is one of the data set's own, so that its parts are known
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count('class="phrase" style="--colour:') >= 1
    assert "Outlines of the parts" in page
    with h5py.File(tmp_path / "out" / "explanation.h5") as file:
        assert file["sentences"].asstr()[0] == told["sentence"]
        assert set(file["regions"]) >= {"body", "tail"}


def test_no_sentence_where_none_is_wanted_or_there_is_no_explainer(photograph: Path, tmp_path: Path) -> None:
    run("explain", photograph, "--model", "flight", "--no-sentence", "--out", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert (told["sentence"], told["sentences"], told["consistency"]) == (None, [], None)
    plain = Model.load("mnist")
    mute = Model("mute", plain.directory, replace(plain.description, explainer=None))
    assert mute.explain(np.zeros((28, 28), np.uint8)).sentence is None


def test_a_changed_photograph_has_no_known_parts(model: Model, photograph: Path, tmp_path: Path) -> None:
    known = KnownRegions(model)
    assert known.of(photograph) is not None
    copy = tmp_path / "renamed.jpg"
    copy.write_bytes(photograph.read_bytes())
    assert known.of(copy) is None
    impostor = tmp_path / photograph.name
    Image.new("RGB", (300, 150), "white").save(impostor)
    assert known.of(impostor) is None


def test_doubt_and_other_classes_are_said(model: Model) -> None:
    explainer = model.explainer
    assert explainer is not None
    words = ["this", "is", "an", "airliner", "because", "it", "has", "many", "windows", "and", "low", "wings"]
    decoded = Decoded(tuple(explainer.spoken.vocabulary.encode(words)), -2.0)
    sure = explainer.sentence(decoded, 0, [(0, 0.99), (1, 0.01)])
    assert sure.text == "This is an airliner because it has many windows and low wings."
    assert [sure.text[m.start : m.end] for m in sure.mentions] == ["many windows", "low wings"]
    assert sure.parts == ("windows", "wing")
    assert sure.probability == pytest.approx(np.exp(-2))
    doubtful = explainer.sentence(decoded, 0, [(0, 0.6), (1, 0.4)])
    assert doubtful.text.startswith("This is probably an airliner because")
    assert doubtful.text.endswith("; it could also be a small aircraft.")
    assert [doubtful.text[m.start : m.end] for m in doubtful.mentions] == ["many windows", "low wings"]
    assert explainer.sentence(decoded, 0, [(1, 0.9), (0, 0.1)]).text.startswith("This would be an airliner because")


def test_every_sentence_is_of_the_language_and_names_its_class(model: Model) -> None:
    rng = np.random.default_rng(0)
    views = [rng.integers(0, 256, (144, 288, 3), dtype=np.uint8) for _ in range(3)]  # noise, not aircraft
    assert model.explainer is not None
    language = model.explainer.spoken.language
    assert language is not None
    for target in model.labels:
        for each in model.explain_views(views, ["a", "b", "c"], target=target):
            reading = language.read(each.sentences[0].words)
            assert reading is not None
            assert reading.label == target


def test_batch_keeps_sentences(model: Model, photograph: Path, tmp_path: Path) -> None:
    test = load_dataset("flight").split("test")
    few = replace(test, ids=test.ids[:2], images=test.images[:2], labels=test.labels[:2])
    path = write_heatmaps(model, few, tmp_path / "two.h5", sentences=True, crew=Crew(threads=1))
    with h5py.File(path) as file:
        said = file["sentence"].asstr()[:].tolist()
    both = model.explain_batch([test.images[0], test.images[1]])
    assert said == [each.sentence for each in both]
    assert [each.words for each in both] == [(), ()]  # which take longer than all else
    mute = Model("mute", model.directory, replace(model.description, explainer=None))
    with pytest.raises(ModelError, match="has no explainer"):
        write_heatmaps(mute, few, tmp_path / "none.h5", sentences=True)


def test_files_that_do_not_fit_are_named(model: Model, tmp_path: Path) -> None:
    how = model.explainer_settings

    def load(spoken: Path) -> None:
        changed = replace(model.description, explainer=replace(how, language=spoken))
        Model("mine", model.directory, changed).explainer  # noqa: B018

    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    with pytest.raises(DataError, match=r"damaged\.json: cannot be read"):
        load(damaged)
    known = read_spoken(how.language)
    fewer = tmp_path / "fewer.json"
    write_spoken(fewer, replace(known, vocabulary=replace(known.vocabulary, words=known.vocabulary.words[:-1])))
    with pytest.raises(DataError, match=r"fewer\.json: has 77 words, the network in .* 78"):
        load(fewer)
    other = tmp_path / "other.json"
    write_spoken(other, replace(known, weights="another"))
    with pytest.raises(DataError, match=r"other\.json: belongs to other weights"):
        load(other)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("length",), 0, "`int` >= 1"),
        (("length",), 3, "nothing can be said of the class 'airliner'"),
        (("length",), 1e999, "cannot be read"),
        (("vocabulary", 9), 5, r"Expected `str`, got `int` - at `\$\.vocabulary"),
        (("language", "frames"), [], "nothing can be said"),
        (("language", "frames", 0), 1, r"Expected `str`, got `int` - at `\$\.language\.frames"),
        (("language", "phrases"), [], "nothing can be said"),
        (("language", "phrases", 0, "part"), [1], r"Expected `str \| null`, got `array`"),
        (("language", "nouns", "small"), 7, "Expected `str`, got `int`"),
        (("language", "nouns"), {"small": "a small aircraft"}, "no noun for the class 'airliner'"),
        (("language", "nouns", "small"), "a {claims}", "nothing can be said of the class 'small'"),
        (("variant",), "poem", "no generator is named 'poem'"),
        (("classes",), [], "`array` of length >= 1"),
    ],
)
def test_a_damaged_explainer_json_is_one_line(
    model: Model, tmp_path: Path, place: tuple[str | int, ...], value: object, message: str
) -> None:
    content = json.loads(model.explainer_settings.language.read_text())
    *way, last = place
    inner = content
    for key in way:
        inner = inner[key]
    inner[last] = value
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_spoken(path)


def test_a_file_nested_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "nested.json"
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="cannot be read"):
        read_spoken(path)


def test_a_sentence_asked_of_a_model_that_has_none_is_refused(digits: np.ndarray, tmp_path: Path) -> None:
    needs("imagenet")
    Image.fromarray(digits[0]).save(tmp_path / "digit.png")
    for command in ("explain", "compare"):
        done = run(command, tmp_path / "digit.png", "--model", "imagenet", "--sentence", "--out", tmp_path / "out.png")
        assert (done.returncode, done.stdout) == (2, "")
        assert "model 'imagenet' has no explainer" in done.stderr


def test_birds_are_spoken_of_in_peoples_words_behind_their_name() -> None:
    explainer = Model.load("cub").explainer
    assert explainer is not None
    assert explainer.spoken.language is None
    words = ["this", "bird", "has", "a", "long", "beak", ",", "and", "black", "wings"]
    decoded = Decoded(tuple(explainer.spoken.vocabulary.encode(words)), -2.0)
    sure = explainer.sentence(decoded, 1, [(1, 0.99), (0, 0.01)])
    assert sure.text == "This is a Laysan Albatross: this bird has a long beak, and black wings."
    assert [(sure.text[each.start : each.end], each.part) for each in sure.mentions] == [
        ("beak", "beak"),
        ("wings", "left wing+right wing"),
    ]
    assert [sure.text[start:end] for start, end in sure.places] == words
    doubtful = explainer.sentence(decoded, 12, [(12, 0.5), (1, 0.3)])
    assert doubtful.text.startswith("This is probably an American Crow: this bird")
    assert doubtful.text.endswith("; it could also be a Laysan Albatross.")
    assert explainer.sentence(decoded, 12, [(1, 0.9), (12, 0.1)]).text.startswith("This would be an American Crow:")
    assert UNKNOWN not in explainer.spoken.vocabulary.encode(words)
