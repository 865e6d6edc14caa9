"""FGVC-Aircraft's directory becomes a data set of two classes that a model can be trained on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import load_dataset
from rationale.datasets.fgvc import AIRLINERS, SMALL, convert_fgvc
from rationale.errors import DataError

FAMILIES = ("Boeing 737", "Cessna 172", "C-130")  # an airliner, a small one, and one that is neither


def miniature(root: Path, each: int = 4) -> Path:
    """The official layout, with `each` photographs of each family in each split, and a banner below each."""
    data = root / "fgvc-aircraft-2013b" / "data"
    (data / "images").mkdir(parents=True)
    number = 1000
    for split in ("train", "val", "test"):
        lines = []
        for family in FAMILIES:
            for _ in range(each):
                number += 1
                photo = np.full((120, 200, 3), 90, np.uint8)
                photo[100:] = 255
                Image.fromarray(photo).save(data / "images" / f"{number:07}.jpg")
                lines.append(f"{number:07} {family}\n")
        (data / f"images_family_{split}.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("inside", ["", "fgvc-aircraft-2013b", "fgvc-aircraft-2013b/data"])
def test_the_official_splits_and_two_classes_remain(inside: str, tmp_path: Path) -> None:
    miniature(tmp_path / "source")
    assert convert_fgvc(tmp_path / "source" / inside, tmp_path / "out") == 3 * 2 * 4
    dataset = load_dataset(str(tmp_path / "out"))
    assert dataset.classes == ("airliner", "small")
    for name in ("train", "val", "test"):
        split = dataset.split(name)
        assert np.bincount(split.labels).tolist() == [4, 4]
        assert split.images[0].shape == (100, 200, 3)
        assert split.images[0].max() < 120  # the banner is gone


def test_no_more_than_is_asked_for_and_nothing_twice(tmp_path: Path) -> None:
    miniature(tmp_path / "source")
    assert convert_fgvc(tmp_path / "source", tmp_path / "out", most=12) == 12
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    assert convert_fgvc(tmp_path / "source", tmp_path / "out", most=12) == 12
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")} == before


def test_no_family_is_both() -> None:
    assert not AIRLINERS & SMALL


def test_another_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not FGVC-Aircraft's directory"):
        convert_fgvc(tmp_path, tmp_path / "out")
    miniature(tmp_path / "source")
    next((tmp_path / "source").rglob("0001001.jpg")).unlink()
    with pytest.raises(DataError, match=r"0001001\.jpg: cannot be read"):
        convert_fgvc(tmp_path / "source", tmp_path / "out")
    (tmp_path / "source" / "fgvc-aircraft-2013b" / "data" / "images_family_val.txt").unlink()
    with pytest.raises(DataError, match=r"images_family_val\.txt: cannot be read"):
        convert_fgvc(tmp_path / "source", tmp_path / "out")


@pytest.mark.parametrize("wrong", ["escape", "others", "low"])
def test_nothing_odd_is_written(tmp_path: Path, wrong: str) -> None:
    miniature(tmp_path / "source")
    data = tmp_path / "source" / "fgvc-aircraft-2013b" / "data"
    if wrong == "escape":
        with open(data / "images_family_train.txt", "a") as file:
            file.write("../../escape Boeing 737\n")
        message = "'../../escape' is no number"
    elif wrong == "others":
        convert_fgvc(tmp_path / "source", tmp_path / "out")
        message = "other photographs"
    else:
        Image.new("RGB", (40, 20)).save(data / "images" / "0001001.jpg")
        message = "only 20 rows high"
    with pytest.raises(DataError, match=message):
        convert_fgvc(tmp_path / "source", tmp_path / "out", most=12 if wrong == "others" else 5000)


@pytest.mark.parametrize("most", range(6, 24))
def test_as_many_as_are_asked_for(tmp_path: Path, most: int) -> None:
    miniature(tmp_path / "source")
    every = convert_fgvc(tmp_path / "source", tmp_path / "all")
    assert convert_fgvc(tmp_path / "source", tmp_path / "out", most=most) == min(most, every)
    (cut, *_) = (tmp_path / "out").rglob("*.jpg")
    cut.write_bytes(b"")
    convert_fgvc(tmp_path / "source", tmp_path / "out", most=most)
    assert cut.stat().st_size
