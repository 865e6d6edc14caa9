"""People's own photographs: any directory of class directories."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import folder, load_dataset
from rationale.errors import DataError


def photographs(place: Path, count: int, seed: int) -> None:
    place.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC).save(place / f"{number:02}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    photographs(tmp_path / "mine" / "cats", 20, 1)
    photographs(tmp_path / "mine" / "dogs", 12, 2)
    (tmp_path / "mine" / "notes").mkdir()
    (tmp_path / "mine" / "cats" / "readme.txt").write_text("no picture")
    return tmp_path / "mine"


def test_classes_are_directories_divided_the_same_way_every_time(root: Path) -> None:
    first, again = load_dataset(str(root)), load_dataset(str(root))
    assert first.classes == ("cats", "dogs")
    assert first.name == "mine"
    ids = []
    for name in ("train", "val", "test"):
        split = first.split(name)
        assert split.ids == again.split(name).ids
        assert set(split.labels.tolist()) == {0, 1}
        ids += split.ids
    assert len(ids) == len(set(ids)) == 32
    assert first.split("test").images[0].shape == (72, 96, 3)


def test_copies_do_not_end_on_both_sides(root: Path) -> None:
    for number in range(20):
        picture = Image.open(root / "cats" / f"{number:02}.png")
        picture.resize((128, 96)).save(root / "cats" / f"copy-{number:02}.jpg", quality=95)
    dataset = load_dataset(str(root))
    side = {each: name for name in ("train", "val", "test") for each in dataset.split(name).ids}
    assert all(side[f"cats/{number:02}.png"] == side[f"cats/copy-{number:02}.jpg"] for number in range(20))


def test_drawings_on_plain_ground_are_not_taken_for_one_picture(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    for kind in ("circles", "squares"):
        (tmp_path / kind).mkdir()
        for number in range(20):
            pixels = np.full((64, 64), 255, np.uint8)
            top, left = random.integers(0, 48, 2)
            pixels[top : top + 12, left : left + 12] = 0
            Image.fromarray(pixels).save(tmp_path / kind / f"{number}.png")
    dataset = load_dataset(str(tmp_path))
    assert all(len(dataset.split(name)) >= 2 for name in ("train", "val", "test"))
    (tmp_path / "blank").mkdir()
    (tmp_path / "plain").mkdir()
    for number, kind in enumerate(("blank", "plain")):
        for grey in range(10):
            Image.new("L", (8, 8), 20 * grey + number).save(tmp_path / kind / f"{grey}.png")
    dataset = load_dataset(str(tmp_path))
    sides = {each: name for name in ("train", "val", "test") for each in dataset.split(name).ids}
    assert len({side for each, side in sides.items() if each.startswith("blank")}) == 1  # nothing tells them apart


def test_pictures_are_read_once_for_the_division(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = load_dataset(str(root)).split("train")

    def no_more(path: Path) -> np.ndarray:
        raise AssertionError(path)

    monkeypatch.setattr(folder, "_fingerprint", no_more)
    assert load_dataset(str(root)).split("train").fingerprint() == before.fingerprint()
    os.utime(root / "cats" / "00.png", (1, 1))
    with pytest.raises(AssertionError, match=r"00\.png"):
        load_dataset(str(root))


def test_val_is_taken_from_train_where_there_is_none(tmp_path: Path) -> None:
    for name, count in (("train", 20), ("test", 3)):
        for number, kind in enumerate(("a", "b")):
            photographs(tmp_path / name / kind, count, count + number)
    (tmp_path / "train" / "a" / "._00.png").write_bytes(b"what macOS leaves behind")
    dataset = load_dataset(str(tmp_path))
    counts = {name: np.bincount(dataset.split(name).labels).tolist() for name in ("train", "val", "test")}
    assert counts["test"] == [3, 3]
    assert np.add(counts["train"], counts["val"]).tolist() == [20, 20]
    assert min(counts["val"]) >= 2


def test_a_division_that_is_there_is_kept(tmp_path: Path) -> None:
    for name, count in (("train", 3), ("val", 2), ("test", 1)):
        for kind in ("a", "b"):
            photographs(tmp_path / name / kind, count, count)
    dataset = load_dataset(str(tmp_path))
    assert [len(dataset.split(name)) for name in ("train", "val", "test")] == [6, 4, 2]


def test_what_cannot_be_a_data_set_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "one" / "cats").mkdir(parents=True)
    with pytest.raises(DataError, match="at least two directories"):
        load_dataset(str(tmp_path / "one"))
    (root / "dogs" / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.jpg"):
        load_dataset(str(root))
