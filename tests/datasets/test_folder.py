"""People's own photographs: any directory of class directories."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import load_dataset
from rationale.errors import DataError


def photographs(folder: Path, count: int, seed: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    for number in range(count):
        pixels = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC).save(folder / f"{number:02}.png")


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
