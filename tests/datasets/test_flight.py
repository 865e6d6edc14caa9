"""Flight: what the annotations say must lie where it is in the photographs, and no look-alikes on both sides."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rationale.datasets import Split, load_dataset
from rationale.datasets.flight import Flight, cells_mask, make_split, read_annotations, read_split
from rationale.datasets.splitting import near_duplicates, stratified_split
from rationale.errors import DataError
from tests.conftest import ROOT, needs


@pytest.fixture(scope="module")
def splits() -> dict[str, Split]:
    needs("flight")
    flight = load_dataset("flight")
    return {name: flight.split(name) for name in ("train", "val", "test")}


def test_every_photograph_is_in_one_split_with_both_classes_in_proportion(splits: dict[str, Split]) -> None:
    ids = [number for split in splits.values() for number in split.ids]
    assert len(ids) == len(set(ids)) == 800
    assert Counter(label for split in splits.values() for label in split.labels.tolist()) == {0: 669, 1: 131}
    for split in splits.values():
        assert np.mean(split.labels) == pytest.approx(131 / 800, abs=0.01)


def test_the_split_is_the_one_that_its_maker_makes(tmp_path: Path) -> None:
    needs("flight")
    make_split(tmp_path / "split.csv")
    assert (tmp_path / "split.csv").read_bytes() == (ROOT / "data" / "flight" / "split.csv").read_bytes()


def test_photographs_and_their_regions_have_one_size(splits: dict[str, Split]) -> None:
    test = splits["test"]
    assert test.parts is not None
    assert test.objects is not None
    for row in (0, 57, 199):
        photo = test.images[row]
        assert photo.dtype == np.uint8
        assert photo.shape[2] == 3
        for name, mask in test.parts[row].items():
            assert name in ("nose", "fin", "wheels", "windows", "engines", "wing")
            assert mask.shape == photo.shape[:2]
            assert 0 < mask.mean() < 0.5
            assert test.objects[row][mask].mean() > 0.95  # a hull holds its parts


def test_parts_that_are_not_seen_are_left_out(splits: dict[str, Split]) -> None:
    rows = {row.id: row for row in read_annotations()}
    for split in splits.values():
        assert split.parts is not None
        assert split.attributes is not None
        for row in range(0, len(split), 40):
            cells = rows[split.ids[row]].cells
            assert set(split.parts[row]) == {part for part, where in cells.items() if where != "-"}
            assert split.attributes[row]["body"] in ("long", "short")


def test_cells_are_read_as_they_are_written() -> None:
    mask = cells_mask("A1+C2-D3", 60, 100)
    assert mask.sum() == 10 * 10 + 20 * 20
    assert mask[5, 5]
    assert mask[25, 35]
    assert not mask[25, 45]
    for wrong in ("K1", "A7", "A0", "", "A", "1A"):
        with pytest.raises(DataError, match="no cells"):
            cells_mask(wrong, 60, 100)


def test_near_duplicates_are_on_one_side() -> None:
    assert len(read_split()) == 800
    random = np.random.default_rng(0)
    prints = random.random((60, 256)) > 0.5
    prints[1] = prints[0] ^ (random.random(256) > 0.95)
    prints[7] = prints[1] ^ (random.random(256) > 0.95)
    groups = near_duplicates(prints, of_set=1.0)
    assert groups[0] == groups[1] == groups[7]
    assert len(np.unique(groups)) == 58
    found = stratified_split(np.arange(60) % 2, groups)
    assert found[0] == found[1] == found[7]
    assert Counter(found)["test"] == pytest.approx(15, abs=2)


def test_a_split_that_does_not_exist_is_named() -> None:
    needs("flight")
    with pytest.raises(DataError, match="flight has no split 'all'; it has train, val, test"):
        Flight().split("all")
