"""CUB: the official layout, whole or a subset, read as it is meant."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.datasets import Split, load_dataset
from rationale.datasets.cub import Cub
from rationale.errors import DataError
from tests.conftest import needs


@pytest.fixture(scope="module")
def birds() -> Cub:
    needs("cub-22")
    dataset = load_dataset("cub-22")
    assert isinstance(dataset, Cub)
    return dataset


@pytest.fixture(scope="module")
def test_split(birds: Cub) -> Split:
    return birds.split("test")


def test_the_official_split_is_kept(birds: Cub, test_split: Split) -> None:
    assert len(birds.classes) == 22
    assert birds.classes[1] == "Laysan Albatross"
    assert len(test_split) == 598
    assert len(birds.split("train")) + len(birds.split("val")) == 660
    assert set(Counter(birds.split("val").labels.tolist()).values()) == {3}


def test_parts_lie_in_the_birds_box(test_split: Split) -> None:
    assert test_split.parts is not None
    assert test_split.objects is not None
    inside = []
    for row in range(0, 598, 60):
        photo, box = test_split.images[row], test_split.objects[row]
        assert box.shape == photo.shape[:2]
        for mask in test_split.parts[row].values():
            centre = np.argwhere(mask).mean(axis=0).astype(int)
            inside.append(bool(box[tuple(centre)]))
    assert np.mean(inside) > 0.95
    assert set(test_split.parts[0]) <= {"back", "beak", "belly", "breast", "crown", "forehead", "left eye"} | {
        *("left leg", "left wing", "nape", "right eye", "right leg", "right wing", "tail", "throat")
    }


def test_captions_and_attributes_come_with_each_photograph(test_split: Split) -> None:
    assert test_split.captions is not None
    assert test_split.attributes is not None
    assert len(test_split.captions[5]) == 10
    assert "bird" in " ".join(test_split.captions[5])
    assert len(test_split.attributes[5]) == 312
    assert 0 <= min(test_split.attributes[5].values()) <= max(test_split.attributes[5].values()) <= 1


def miniature(root: Path) -> Path:
    """Two species, three photographs each, in the official layout."""
    data = root / "CUB_200_2011"
    (data / "parts").mkdir(parents=True)
    (data / "attributes").mkdir()
    (data / "classes.txt").write_text("1 001.Black_Bird\n2 002.Red_Bird\n")
    files = [f"00{1 + n // 3}.{'Black' if n < 3 else 'Red'}_Bird/Photo_{n}.jpg" for n in range(6)]
    (data / "images.txt").write_text("".join(f"{n + 1} {file}\n" for n, file in enumerate(files)))
    (data / "image_class_labels.txt").write_text("".join(f"{n + 1} {1 + n // 3}\n" for n in range(6)))
    (data / "train_test_split.txt").write_text("".join(f"{n + 1} {n % 3 > 0:d}\n" for n in range(6)))
    (data / "bounding_boxes.txt").write_text("".join(f"{n + 1} 10.0 5.0 20.0 10.0\n" for n in range(6)))
    (data / "parts" / "parts.txt").write_text("1 left eye\n2 tail\n")
    (data / "parts" / "part_locs.txt").write_text("1 1 12.0 6.0 1\n1 2 0.0 0.0 0\n")
    (data / "attributes.txt").write_text("1 has_colour::red\n2 has_colour::black\n")
    (data / "attributes" / "image_attribute_labels.txt").write_text("1 2 1 3 2.5\n1 1 0 3 2.5\n")
    for file in files:
        path = data / "images" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(path)
        caption = (root / "text_c10" / file).with_suffix(".txt")
        caption.parent.mkdir(parents=True, exist_ok=True)
        caption.write_text("a bird.\n\nanother bird.\n")
    return root


def test_the_whole_layout_with_attributes_seen_in_each_photograph(tmp_path: Path) -> None:
    dataset = Cub(folder=miniature(tmp_path))
    assert dataset.classes == ("Black Bird", "Red Bird")
    test = dataset.split("test")
    assert test.ids == ["001.Black_Bird/Photo_0", "002.Red_Bird/Photo_3"]
    assert test.labels.tolist() == [0, 1]
    assert test.objects is not None
    assert test.parts is not None
    assert test.objects[0].sum() == 20 * 10
    assert list(test.parts[0]) == ["left eye"]
    assert test.parts[0]["left eye"][6, 12]
    assert test.attributes is not None
    assert test.attributes[0] == {"has_colour::black": 1.0}
    assert test.captions is not None
    assert test.captions[1] == ["a bird.", "another bird."]


def test_a_broken_layout_is_named(tmp_path: Path) -> None:
    miniature(tmp_path)
    (tmp_path / "CUB_200_2011" / "images.txt").unlink()
    with pytest.raises(DataError, match=r"images.txt: cannot be read"):
        Cub(folder=tmp_path)
