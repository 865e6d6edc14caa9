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
    with pytest.raises(DataError, match="no data set is named 'nothing'"):
        load_dataset("nothing")


def ids(dataset: folder.Folder) -> dict[str, set[str]]:
    return {name: set(dataset.split(name).ids) for name in folder.counts(dataset)}


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "VALID"), ("training", "Validation")])
def test_a_folder_for_choosing_by_is_kept_and_one_to_measure_with_taken_from_train(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    for place, count in zip(names, (20, 4), strict=True):
        photographs(tmp_path / place / "cats", count, 1)
        photographs(tmp_path / place / "dogs", count, 2)
    found = ids(folder.Folder(tmp_path))
    assert {name: len(each) for name, each in found.items()}.keys() == {"train", "val", "test"}
    assert len(found["val"]) == 8
    assert len(found["train"] | found["test"]) == 40
    assert not found["train"] & found["test"]


def test_train_alone_is_divided_and_two_names_for_one_split_are_refused(tmp_path: Path) -> None:
    photographs(tmp_path / "Train" / "cats", 20, 1)
    photographs(tmp_path / "Train" / "dogs", 20, 2)
    assert folder.Folder(tmp_path).classes == ("cats", "dogs")
    for name in ("test", "testing"):
        photographs(tmp_path / name / "cats", 2, 3)
    with pytest.raises(DataError, match="test, testing mean the same split"):
        folder.Folder(tmp_path)


def test_nothing_is_dropped_in_silence(root: Path) -> None:
    """Pictures further down belong to the class; what lies beside the classes, or is no split, is told of."""
    photographs(root / "cats" / "indoor" / "night", 3, 5)
    photographs(root, 2, 6)
    (root / "dogs" / "linked.png").symlink_to(root / "dogs" / "00.png")
    (root / "cats" / "round").symlink_to(root / "cats")
    mine = folder.Folder(root)
    assert set().union(*ids(mine).values()) == {
        *(f"cats/{number:02}.png" for number in range(20)),
        *(f"cats/indoor/night/{number:02}.png" for number in range(3)),
        *(f"dogs/{number:02}.png" for number in range(12)),
        "dogs/linked.png",
    }
    below, beside = mine.remarks
    assert "3 pictures in directories below cats/" in below
    assert "2 pictures lie beside" in beside
    for place in ("train", "test"):
        (root / place).mkdir()
        for name in ("cats", "dogs"):
            photographs(root / place / name, 4, 7)
    assert any("cats/ is no split" in remark for remark in folder.Folder(root).remarks)


def test_classes_one_directory_further_down_are_pointed_at(root: Path) -> None:
    with pytest.raises(DataError, match=r"there is only mine/: name that one"):
        folder.Folder(root.parent)


def test_all_unreadable_pictures_are_named_and_left_out_before_any_work(root: Path) -> None:
    (root / "cats" / "a.png").write_bytes(b"no picture")
    (root / "dogs" / "b.heic").write_bytes(b"no picture")
    whole = (root / "dogs" / "00.png").read_bytes()
    (root / "dogs" / "cut.png").write_bytes(whole[: len(whole) // 2])
    for _ in range(2):  # found out, and remembered
        mine = folder.Folder(root)
        (remark,) = mine.remarks
        assert remark.startswith("3 pictures cannot be read and are left out: ")
        for part in ("a.png: not a picture", "b.heic: needs Pillow's plugin pillow-heif", "cut.png: the picture is"):
            assert part in remark
        assert len(set().union(*ids(mine).values())) == 32
    for path in (root / "cats").glob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"at least two directories.*23 pictures cannot be read"):
        folder.Folder(root)


@pytest.mark.parametrize(
    ("name", "text", "splits"),
    [
        ("labels.csv", "file,label\ncats/{:02}.png,cat\n", None),
        ("labels.csv", "\ufeffsplit;Class;Filename\nTraining;cat;cats/{:02}.png\n", {"train"}),
        ("labels.tsv", "cats/{:02}.png\tcat\n", None),
        ("list.txt", "# of cats\ncats/{:02}.png cat\n", None),
    ],
)
def test_lists_of_files_and_classes(root: Path, name: str, text: str, splits: set[str] | None) -> None:
    *head, line = text.splitlines()
    lines = [line.format(number) for number in range(20)]
    lines += [line.format(number).replace("cat", "dog") for number in range(12)]
    (root / name).write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")
    listed = load_dataset(str(root / name))
    assert listed.classes == ("cat", "dog")
    found = ids(listed)
    assert set().union(*found.values()) == {
        *(f"cats/{number:02}.png" for number in range(20)),
        *(f"dogs/{number:02}.png" for number in range(12)),
    }
    assert set(found) == {"train", "val", "test"}


def test_a_list_that_says_the_split_is_followed(root: Path) -> None:
    rows = [
        f"{kind}s/{number:02}.png,{kind},{'test' if number < 3 else 'train'}"
        for kind in ("cat", "dog")
        for number in range(12)
    ]
    (root / "all.csv").write_text("\n".join(["path,label,split", *rows]))
    found = ids(load_dataset(str(root / "all.csv")))
    assert found["test"] == {f"{kind}s/{number:02}.png" for kind in ("cat", "dog") for number in range(3)}
    assert len(found["train"]) + len(found["val"]) == 18


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,label\ncats/00.png,\n", "line 2: wants the path of a picture and its class"),
        (b"file,label\ncats/00.png,a\nnone.png,b\n", "line 3: there is no file"),
        (b"file,label\ncats/00.png,a\ncats/00.png,b\n", "line 3: cats/00.png comes twice"),
        (b"file,label,split\ncats/00.png,a,here\n", "line 2: the split 'here' is none"),
        (b"file,label,split\ncats/00.png,a,train\ncats/01.png,b,\n", "not that of cats/01.png"),
        (b"file,label\ncats/00.png\n", "line 2: has too few columns"),
        (b"file,label\n", "names no picture"),
        (b"file,label\ncats/\xff.png,a\n", "is no UTF-8 (byte"),
        (b"file,label\ncats/00.png,a\ncats/01.png,a\n", "at least two"),
    ],
)
def test_lists_with_mistakes_are_refused_with_the_line(root: Path, content: bytes, message: str) -> None:
    (root / "labels.csv").write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_dataset(str(root / "labels.csv"))
    assert message in str(caught.value)
    assert str(root / "labels.csv") in str(caught.value)
