"""Many pictures explained into one folder: however the run was cut, what is there in the end is the same."""

from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from rationale.batch import explanations
from rationale.batch.explanations import Wish, explain_all
from rationale.captions.known import known_regions
from rationale.errors import OutputError
from rationale.explanation import explanation as kept
from rationale.model import Model
from rationale.network import on_threads
from rationale.resources import held, write_whole


@pytest.fixture
def pictures(digits: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[Path, Path]:
    monkeypatch.setattr(Model, "batch_size", 3)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    found = {}
    for number, digit in enumerate(digits[:7]):
        path = tmp_path / "in" / f"{number % 2}" / f"{number // 2}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(digit).save(path)
        found[path] = path.relative_to(tmp_path / "in")
    return found


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


class Killed(BaseException):
    """Nothing is tidied up after it, as after SIGKILL."""


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Whoever puts a number in the list is killed when so many files are written; half of the next one is left."""
    left: list[int] = []

    def write(path: Path, content: str | bytes) -> None:
        if left:
            left[0] -= 1
            if left[0] < 0:
                path.with_name(f"{path.name}.1.part").write_bytes(b"half")
                raise Killed
        write_whole(path, content)

    monkeypatch.setattr(explanations, "write_whole", write)
    monkeypatch.setattr(kept, "write_whole", write)
    return left


@pytest.mark.parametrize("portable", [False, True])
def test_a_run_that_is_killed_anywhere_goes_on_to_the_same_bytes(
    mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path, killer: list[int], portable: bool
) -> None:
    wish = Wish(portable=portable)
    explain_all(mnist_model, pictures, tmp_path / "whole", wish)
    wanted = contents(tmp_path / "whole")
    writes = 7 * (6 if portable else 5) + 2
    for moment in [0, 1, 2, 5, 9, 14, 15, 16, 20, 30, writes - 2, writes - 1]:
        out = tmp_path / f"cut-{moment}"
        killer[:] = [moment]
        with pytest.raises(Killed):
            explain_all(mnist_model, pictures, out, wish)
        killer.clear()
        done = explain_all(mnist_model, pictures, out, wish)
        assert done.explained + done.kept == 7
        assert contents(out) == wanted
    again = explain_all(mnist_model, pictures, out, wish)
    assert (again.explained, again.kept) == (0, 7)
    assert contents(out) == wanted


def test_each_explanation_is_what_the_model_says_of_that_picture(
    mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path
) -> None:
    told: list[str] = []
    done = explain_all(mnist_model, pictures, tmp_path / "out", Wish(), summary=attrgetter("name"), tell=told.append)
    assert told == [called.as_posix() for called in pictures.values()]
    assert sum(done.classes.values()) == 7
    for picture, called in pictures.items():
        own = mnist_model.explain(picture)
        with h5py.File(tmp_path / "out" / called.with_suffix("") / "explanation.h5") as file:
            np.testing.assert_allclose(file["heatmap"][()], own.heatmap, rtol=3e-4, atol=1e-6)
            np.testing.assert_allclose(file["channel_relevance/conv2"][()], own.channel_relevance("conv2"), atol=1e-5)
            assert "relevance" not in file
    explain_all(mnist_model, pictures, tmp_path / "full", Wish(full=True))
    with h5py.File(tmp_path / "full" / "0" / "0" / "explanation.h5") as file:
        assert file["relevance/conv2"].shape == mnist_model.explain(next(iter(pictures))).relevance["conv2"].shape


def test_several_processes_come_to_the_same_bytes(
    mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path
) -> None:
    """The pictures' own batches and threads make the bits, not who explains them."""
    wish, told = Wish(sentences=True, words=True, portable=True), list[str]()
    with on_threads(1):
        explain_all(mnist_model, pictures, tmp_path / "alone", wish, regions=known_regions)
    broken = list(pictures)[5]
    done = explain_all(
        mnist_model, pictures, tmp_path / "shared", wish, regions=known_regions, tell=told.append, processes=2
    )
    assert (done.explained, done.failed, len(told)) == (7, 0, 7)
    assert contents(tmp_path / "shared") == contents(tmp_path / "alone")
    broken.write_bytes(b"no picture")
    wrong: list[Exception] = []
    done = explain_all(mnist_model, pictures, tmp_path / "less", wish, complain=wrong.append, processes=2)
    assert (done.explained, done.failed) == (6, 1)
    assert str(broken) in str(wrong[0])


def test_another_run_is_refused_or_replaced(mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    explain_all(mnist_model, pictures, out, Wish())
    before = contents(out)
    with pytest.raises(OutputError, match=r"another run \(target None, not '3'\)"):
        explain_all(mnist_model, pictures, out, Wish(target="3"))
    assert contents(out) == before
    fewer = dict(list(pictures.items())[:3])
    explain_all(mnist_model, fewer, out, Wish(target="3"), replace=True)
    explain_all(mnist_model, fewer, tmp_path / "fresh", Wish(target="3"))
    assert contents(out) == contents(tmp_path / "fresh")


def test_a_picture_that_changed_is_another_run(
    mnist_model: Model, pictures: dict[Path, Path], digits: np.ndarray, tmp_path: Path
) -> None:
    explain_all(mnist_model, pictures, tmp_path / "out", Wish())
    Image.fromarray(np.rot90(digits[9])).resize((60, 60)).save(next(iter(pictures)))
    with pytest.raises(OutputError, match="pictures"):
        explain_all(mnist_model, pictures, tmp_path / "out", Wish())


def test_a_picture_that_breaks_meanwhile_is_complained_of(
    mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path
) -> None:
    broken = list(pictures)[4]
    broken.write_bytes(b"no picture")
    wrong: list[Exception] = []
    done = explain_all(mnist_model, pictures, tmp_path / "out", Wish(), complain=wrong.append)
    assert (done.explained, done.failed) == (6, 1)
    assert str(broken) in str(wrong[0])


def test_two_processes_do_not_write_one_folder(mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path) -> None:
    with held(tmp_path / "out" / ".rationale" / "lock"), pytest.raises(OutputError, match="another process"):
        explain_all(mnist_model, pictures, tmp_path / "out", Wish())


def test_a_damaged_record_of_the_run_is_named(mnist_model: Model, pictures: dict[Path, Path], tmp_path: Path) -> None:
    explain_all(mnist_model, pictures, tmp_path / "out", Wish())
    (tmp_path / "out" / ".rationale" / "run.json").write_text("{")
    with pytest.raises(OutputError, match=r"run\.json: is damaged"):
        explain_all(mnist_model, pictures, tmp_path / "out", Wish())
