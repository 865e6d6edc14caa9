"""The generator must learn, earn more when rewarded, and end in the same bytes however often it is interrupted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rationale.captions import caption_source
from rationale.captions.files import read_captions, write_captions
from rationale.datasets import load_dataset
from rationale.errors import DataError, ModelError, NetworkError, OutputError
from rationale.explainer.evidence import Evidence
from rationale.explainer.explainer import Explainer, read_spoken
from rationale.explainer.vocabulary import UNKNOWN, Vocabulary, tokens_of
from rationale.model import Model
from rationale.network import Solver
from rationale.training.definitions import check_definitions
from rationale.training.explainer import Lessons, Stage, lessons_of, train_explainer
from rationale.training.loop import Progress
from rationale.training.rewards import as_read, hidden_words
from tests.conftest import ROOT, needs

LANGUAGE = caption_source("flight").language
WORDS = read_spoken(ROOT / "weights" / "flight" / "explainer.json").vocabulary


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load("flight")


def lessons(count: int = 40) -> Lessons:
    """Airliners whose windows are lit, and small aircraft whose wheels are: made up, so that all is known."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % 2
    where = random.random((count, 60)).astype(np.float32) * 0.2
    where[labels == 0, :30] += 1
    true = {
        0: {"body": "long", "body_colour": "white", "windows": "multiple", "wheels": "protruded"},
        1: {"body": "short", "body_colour": "red", "windows": "few", "wheels": "not_protruded"},
    }
    phrases = [{each: LANGUAGE.ways(each, true[label]) for each in ("body", "windows", "wheels")} for label in labels]
    told = {0: "windows", 1: "body"}
    classes = ("airliner", "small")
    texts = [
        [LANGUAGE.compose(frame, classes[label], ways[told[label]][:1]) for frame in range(2)]
        for label, ways in zip(labels, phrases, strict=True)
    ]
    return Lessons(
        Evidence(where, *random.random((2, count, 512)).astype(np.float32)),
        labels,
        [[tuple(WORDS.encode(tokens_of(text))) for text in each] for each in texts],
        phrases,
        WORDS,
        LANGUAGE,
        classes,
        {"captions": "made up"},
    )


def test_a_few_updates_learn_and_a_kill_changes_nothing(model: Model, tmp_path: Path) -> None:
    def train(folder: str, until: int | None = None) -> Path:
        def watch(progress: Progress, last: int) -> None:
            if until is not None and progress.iteration == until:
                raise KeyboardInterrupt
            curves.update(progress.curves)

        curves: dict[str, list[tuple[int, float]]] = {}
        weights = train_explainer(
            model,
            tmp_path / folder,
            "explanation-label",
            lessons=lessons(),
            seed=3,
            iterations=100,
            threads=1,
            watch=lambda stage: watch,
        )
        if until is None:
            assert curves["loss"][-1][1] > 0
            assert 0 < curves["entropy"][-1][1] < np.log(len(WORDS))
        return weights

    whole = train("whole")
    with pytest.raises(KeyboardInterrupt):
        train("cut", until=30)
    assert train("cut").read_bytes() == whole.read_bytes()
    how = model.explainer_settings
    explainer = Explainer.load(how.step, whole, whole.with_suffix(".json"))
    known = lessons()
    for row in range(4):
        (said,) = explainer.sentences(known.evidence[[row]], [int(known.labels[row])], [[(known.labels[row], 1.0)]], 1)
        assert ("windows" in said[0].text) == (known.labels[row] == 0)
        assert said[0].parts == (("windows",) if known.labels[row] == 0 else ("body",))


def test_reinforce_raises_the_reward(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is taught here, so that what rises, rises by reward alone; faster than it is taught in earnest.
    monkeypatch.setattr("rationale.training.explainer.relevance_weights", lambda said: np.zeros(said.shape))
    how = model.explainer_settings
    assert how.discriminative_solver is not None
    solver = tmp_path / "solver.prototxt"
    text = how.discriminative_solver.read_text().replace("base_lr: 0.0005", "base_lr: 0.01")
    solver.write_text(text.replace("explainer.prototxt", str(how.network)))

    class Judge:
        """Likes sentences that speak of wheels."""

        def probabilities(self, sentences: list[tuple[int, ...]]) -> np.ndarray:
            (wheels,) = WORDS.encode(["wheels"])
            liked = np.array([float(wheels in words) for words in sentences])
            return np.stack([liked, liked], axis=1)

    stage = Stage(model, lessons(), tmp_path, solver, "explanation", 1)
    stage._begin()
    random = np.random.default_rng(0)
    rewards = [stage._judged(random, Judge())["reward"] for _ in range(60)]  # type: ignore[arg-type]
    assert np.mean(rewards[:5]) < 0.6
    assert np.mean(rewards[-10:]) > 0.9


def test_the_reward_does_not_see_the_class() -> None:
    hidden = hidden_words(WORDS, LANGUAGE)
    sentences = [tuple(WORDS.encode(["this", "is", "an", "airliner"])), tuple(WORDS.encode(["this", "is"]))]
    words, cont, ends = as_read(sentences, 6, hidden)
    assert WORDS.decode(words[:, 0]) == ["this", "is"]  # "an" would tell the airliner, too
    assert ends.tolist() == [4, 2]
    assert cont[:, 0].tolist() == [0, 1, 1, 1, 1, 1]


def test_values_are_chosen_among_their_own_kind(model: Model, tmp_path: Path) -> None:
    how = model.explainer_settings
    assert how.solver is not None
    stage = Stage(model, lessons(), tmp_path, how.solver, "explanation-label", 1)
    (phrase,) = [each for each in LANGUAGE.phrases if each.text == "wheels that are not out"]
    first = stage._choice(phrase, [], "wheels", 0)
    assert first is not None  # "protruding" would have claimed the contrary
    assert {WORDS.words[number] for number in first.words} == {"wheels", "protruding"}
    assert stage._choice(phrase, ["wheels", "that", "are"], "not", 3).words == ()  # type: ignore[union-attr]
    (shared,) = [each for each in LANGUAGE.phrases if each.text == "a long white body"]
    assert stage._choice(shared, [], "a", 0) is None  # begins what could be said of the tail, too, and tells nothing


def test_captions_that_cannot_be_learnt_from_are_named_with_their_line(model: Model, tmp_path: Path) -> None:
    needs("flight")
    captions = read_captions(model.explainer_settings.captions)
    place = next(
        at for at, caption in enumerate(captions) if caption.id == load_dataset("flight").split("train").ids[2]
    )
    strange = [*captions[:place], replace(captions[place], text="zeppelin ahoy"), *captions[place + 1 :]]
    path = write_captions(tmp_path / "strange.csv", strange)
    with pytest.raises(DataError, match=rf"strange\.csv, line {place + 2}: no word of 'zeppelin ahoy'"):
        lessons_of(model, path)
    airliners = [caption for caption in captions if caption.label == "airliner"]
    with pytest.raises(DataError, match=r"one\.csv: holds no caption of the class 'small'"):
        lessons_of(model, write_captions(tmp_path / "one.csv", airliners))

    long = [*captions[:place], replace(captions[place], text="wings " * 58), *captions[place + 1 :]]
    with pytest.raises(DataError, match=rf"long\.csv, line {place + 2}: has 58 words; .* 33 steps"):
        lessons_of(model, write_captions(tmp_path / "long.csv", long))


def test_peoples_own_captions_are_held_to_no_language(model: Model, tmp_path: Path) -> None:
    needs("flight")
    told = read_captions(model.explainer_settings.captions)
    own = [replace(each, text=f"somebody saw {each.label} from the side", label="") for each in told[::5]]
    found = lessons_of(model, write_captions(tmp_path / "own.csv", own))
    assert found.language is None
    assert {"somebody", "airliner", "small"} <= set(found.vocabulary.words)
    twin = lessons_of(model, tmp_path / "own.csv", words_of=model.explainer_settings.captions)
    assert twin.vocabulary == lessons().vocabulary
    assert UNKNOWN in twin.captions[0][0]
    assert twin.identity != found.identity


def test_definitions_for_other_captions_are_refused_at_once(model: Model, tmp_path: Path) -> None:
    how, known = model.explainer_settings, lessons()
    check_definitions(model, known, judged=True)
    assert how.sentence_solver is not None

    def changed(**files: Path) -> Model:
        return Model("mine", model.directory, replace(model.description, explainer=replace(how, **files)))

    network = tmp_path / "explainer.prototxt"
    network.write_text(how.network.read_text().replace("num_output: 78", "num_output: 70"))
    with pytest.raises(DataError, match="the output 'scores' has 70 values, not one for each of 78 words"):
        check_definitions(changed(network=network), known, judged=True)
    network.write_text(how.network.read_text().replace('"where_standard"', '"standard"'))
    with pytest.raises(NetworkError, match="no layer 'where_standard' has weights"):
        check_definitions(changed(network=network), known, judged=True)
    with pytest.raises(DataError, match="the input 'label' has 2 values, not 3"):
        check_definitions(model, replace(known, classes=("airliner", "small", "third")), judged=True)
    solver = tmp_path / "solver.prototxt"
    solver.write_text(how.sentence_solver.read_text())
    judge = tmp_path / Solver.network_of(how.sentence_solver).name
    judge.write_text(Solver.network_of(how.sentence_solver).read_text().replace("num_output: 2 ", "num_output: 1 "))
    with pytest.raises(DataError, match="the output 'class' has 1 values, not one for each of 2 classes"):
        check_definitions(changed(sentence_solver=solver), known, judged=True)


def test_a_folder_belongs_to_one_training(model: Model, tmp_path: Path) -> None:
    """Also where only what came before differs: the weights that a stage begins with, or the variant."""

    def train(variant: str, iterations: int) -> bytes:
        path = train_explainer(model, tmp_path, variant, lessons=lessons(), seed=3, iterations=iterations, threads=1)
        return path.read_bytes()

    train("explanation-label", 2)
    train("explanation-label", 4)  # goes on
    with pytest.raises(OutputError, match="of the kind 'explanation-label', not 'definition'"):
        train("definition", 2)


def test_mistakes_are_named(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no generator is named 'poem'"):
        train_explainer(model, tmp_path, "poem")
    with pytest.raises(ModelError, match="has no explainer"):
        train_explainer(Model.load("imagenet"), tmp_path)
    fewer = replace(lessons(), vocabulary=Vocabulary(WORDS.words[:-1]))
    with pytest.raises(DataError, match=r"knows 78 words, the captions make 77.*set input_dim"):
        train_explainer(model, tmp_path, lessons=fewer)
    without = replace(model.description, explainer=replace(model.explainer_settings, sentence_solver=None))
    with pytest.raises(ModelError, match=r"wants explainer\.sentence_solver"):
        train_explainer(Model("mine", model.directory, without), tmp_path, lessons=lessons())
