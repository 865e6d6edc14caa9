"""What explain() returns must agree with itself and with every file that it saves."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import rationale
from rationale.errors import OutputError, RuleError
from rationale.explanation import FILES, Explanation
from rationale.explanation.report import render_report
from rationale.model import Model


@pytest.fixture(scope="module")
def explanation(mnist_model: Model, digits: np.ndarray) -> Explanation:
    return mnist_model.explain(digits[0])


def test_the_parts_agree(explanation: Explanation) -> None:
    assert explanation.label == "7"
    assert explanation.classes[0] == (explanation.label, explanation.probability)
    assert sum(probability for _, probability in explanation.classes) == pytest.approx(1)
    assert explanation.heatmap.shape == (28, 28)
    assert explanation.heatmap.dtype == np.float32
    np.testing.assert_array_equal(explanation.heatmap, explanation.relevance["data"].sum(axis=0))
    absorbed = sum(account.bias + account.stabiliser for account in explanation.ledger)
    assert explanation.heatmap.sum() + absorbed == pytest.approx(explanation.score, rel=1e-4)
    for account in explanation.ledger:
        assert abs(account.residual) < 1e-4 * explanation.score
    assert explanation.channel_relevance("conv2").shape == (50,)
    assert explanation.channel_relevance("conv2").sum() == pytest.approx(
        next(account.received for account in explanation.ledger if account.layer == "pool2"), rel=1e-3
    )


def test_the_strongest_channels_are_the_strongest(explanation: Explanation) -> None:
    channels = explanation.strongest_channels(3)
    assert {channel.layer for channel in channels} == {"conv2"}
    totals = np.abs(explanation.channel_relevance("conv2"))
    assert [abs(channel.relevance) for channel in channels] == pytest.approx(sorted(totals)[::-1][:3])
    assert channels[0].share == pytest.approx(channels[0].relevance / explanation.score)
    with pytest.raises(RuleError, match="not kept at 'conv9'"):
        explanation.channel_relevance("conv9")


def test_another_class_can_be_explained(mnist_model: Model, digits: np.ndarray, explanation: Explanation) -> None:
    other = mnist_model.explain(digits[0], target="3")
    assert (other.label, other.target, other.target_index) == ("7", "3", 3)
    assert other.score < explanation.score
    assert "another class" in other._repr_html_()


def test_a_contrast_says_so_in_every_file(mnist_model: Model, digits: np.ndarray, tmp_path: Path) -> None:
    found = mnist_model.explain(digits[0], target="9", against="7")
    one, other = (mnist_model.explain(digits[0], target=each) for each in (9, 7))
    assert found.score == pytest.approx(one.score - other.score, rel=1e-4)
    assert (found.target, found.against, found.against_index, one.against) == ("9", "7", 7, None)
    found.save(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "why <strong><bdi>9</bdi></strong> rather than <strong><bdi>7</bdi></strong>" in page
    assert "f(x) − f′(x) =" in page
    assert json.loads((tmp_path / "explanation.json").read_text())["against"] == "7"
    with h5py.File(tmp_path / "explanation.h5") as file:
        assert file.attrs["against"] == "7"


def test_of_a_contrast_no_sentence_is_said() -> None:
    """Sentences are about one class: said of a difference they would be about something that was not explained."""
    model = rationale.load("flight")
    grey = np.full((144, 288, 3), 128, np.uint8)
    first = model.explain(grey)
    assert first.sentence
    assert model.explain(grey, target=0, against=1).sentence is None


def test_saved_files_hold_the_explanation(explanation: Explanation, tmp_path: Path) -> None:
    written = explanation.save(tmp_path / "new" / "place")
    assert [path.name for path in written] == list(FILES)
    data = json.loads(written[2].read_text())
    assert (data["label"], data["picture"], data["settings"]["composite"]) == ("7", "image 1", "epsilon-gamma-box")
    assert data["probability"] == explanation.probability
    assert len(data["channel_relevance"]["conv2"]) == 50
    assert [row["layer"] for row in data["ledger"]] == ["ip2", "ip1", "pool2", "conv2", "pool1", "conv1"]
    with h5py.File(written[3]) as file:
        np.testing.assert_array_equal(file["heatmap"][()], explanation.heatmap)
        np.testing.assert_array_equal(file["relevance/conv1"][()], explanation.relevance["conv1"])
        assert file.attrs["label"] == "7"
    for path in written[:2]:
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert min(image.size) >= 400


def test_a_folder_that_cannot_be_written_is_named(explanation: Explanation, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        explanation.save(tmp_path / "file" / "below")


class Page(HTMLParser):
    """Collects what a page would load from elsewhere, and checks that its tags are closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.outside: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name in ("src", "href") and value and not value.startswith(("data:", "#")):
                self.outside.append(value)
        if tag not in ("img", "meta", "input", "rect", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_one_self_contained_page(explanation: Explanation, tmp_path: Path) -> None:
    text = explanation.save(tmp_path)[4].read_text()
    page = Page(text)
    assert page.outside == []
    assert page.open == []
    assert "http" not in text.replace("http-equiv", "")
    for part in ("epsilon-gamma-box", "conv2", "Conservation", "stabiliser", "viewport", "@media print"):
        assert part in text
    scale = float(np.abs(explanation.heatmap).max())
    assert f"+{scale:.3g}" in text
    assert f"−{scale:.3g}" in text


def test_names_cannot_inject_markup(mnist_model: Model, digits: np.ndarray) -> None:
    (bad,) = mnist_model.explain_views([digits[0]], ["<script>alert(1)</script>.png"])
    shown = re.sub(r'srcdoc="[^"]*"', "", bad._repr_html_())
    assert "<script>alert" not in shown
    from rationale.explanation.report import render_report

    assert "<script>alert" not in render_report([bad.report_part()], bad.name)


def test_a_notebook_shows_the_explanation(explanation: Explanation) -> None:
    shown = explanation._repr_html_()
    assert shown.startswith("<iframe")
    assert "Relevance" in shown
    assert repr(explanation) == "Explanation('image 1': '7', > 99.9 %)"


def test_a_score_of_zero_explains_to_nothing(mnist_model: Model) -> None:
    blank = mnist_model.explain(np.zeros((28, 28), np.uint8), composite="epsilon")
    assert not blank.heatmap.any()
    assert "nan" not in json.dumps(blank.as_dict()).lower().replace("channel", "")


def test_an_empty_heatmap_says_who_kept_the_relevance(mnist_model: Model, digits: np.ndarray) -> None:
    explanation = mnist_model.explain(digits[0])
    assert explanation.remark is None
    account = explanation.ledger[0]
    kept = replace(account, received=2.0, passed_on=0.0, bias=2.0, stabiliser=0.0)
    empty = replace(explanation, heatmap=np.zeros_like(explanation.heatmap), ledger=[kept])
    assert empty.remark == f"Nothing reached the pixels: biases of layer {account.layer} kept all of it."
    stabilised = replace(empty, ledger=[replace(kept, bias=0.0, stabiliser=2.0)])
    assert "the stabiliser of layer" in str(stabilised.remark)
    cancelled = replace(empty, ledger=[replace(kept, bias=0.0)])
    assert "cancelled in layer" in str(cancelled.remark)
    assert replace(empty, ledger=[], score=0.0).remark == "The score is 0: there is nothing to explain."
    assert "kept all of it" in render_report([empty.report_part()])
    assert empty.as_dict()["remark"] == empty.remark


def test_what_a_notebook_shows_is_small_and_what_a_console_shows_a_line(mnist_model: Model, digits: np.ndarray) -> None:
    explanation = mnist_model.explain(digits[0])
    random = np.random.default_rng(0)
    coarse = Image.fromarray(random.integers(0, 256, (28, 28, 3), np.uint8))
    photograph = np.array(coarse.resize((224, 224), Image.Resampling.BICUBIC))
    noise = random.standard_normal((224, 224)).astype(np.float32)
    large = replace(explanation, image=photograph, heatmap=noise)
    for each in (explanation, large):
        assert len(each._repr_html_()) < 200_000
    relevance = mnist_model.relevance([digits[0]])
    for text in (repr(explanation), repr(relevance), repr(mnist_model), repr(mnist_model.network)):
        assert "\n" not in text
        assert len(text) < 160
    assert "2 layers" not in repr(relevance)


NAMES = [
    "猫, ねこ",
    'كلب "سلوقي"',
    "חתול",
    "a, b; \"c\" <d> & 'e'",
    "Größe – ±½",
    "\u202ereversed",
    *(f"class {number}" for number in range(3994)),
]


def test_names_in_any_script_and_thousands_of_classes(mnist_model: Model, digits: np.ndarray, tmp_path: Path) -> None:
    own = mnist_model.explain(digits[0])
    shares = np.r_[np.full(6, 0.16), np.full(3994, 0.04 / 3994)]
    for place, name in enumerate(NAMES[:6]):
        others = [(each, float(share)) for each, share in zip(NAMES, shares, strict=True) if each != name]
        told = {"label": name, "target": name, "index": place, "classes": [(name, 0.16), *others]}
        named = replace(own, name=f"{name}.png".replace("/", "-"), **told)
        folder = tmp_path / str(place)
        named.save(folder)
        told = json.loads((folder / "explanation.json").read_text(encoding="utf-8"))
        assert (told["label"], len(told["classes"])) == (name, 4000)
        page = (folder / "report.html").read_text(encoding="utf-8")
        parser = Texts()
        parser.feed(page)
        assert name in parser.found
        assert page.count("<li") < 400
        with h5py.File(folder / "explanation.h5") as file:
            assert file.attrs["label"] == name


class Texts(HTMLParser):
    """The texts of a page, one for each element that holds nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_data(self, data: str) -> None:
        self.found.add(data.strip())
