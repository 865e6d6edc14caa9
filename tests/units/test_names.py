"""A unit that was made for something gets its name; chance gets none."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import fisher_exact

from rationale.model import Model
from rationale.units import Store, Wanted, scan
from rationale.units.names import EVIDENCE, SURE, add_names, by_parts, by_traits, traits_of
from rationale.units.rank import NONE
from tests.units.planted import CLASSES, CORNER, DEAD, EDGE, SIDE, places, planted_model, planted_split


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted_model(tmp_path_factory.mktemp("planted"))


def test_planted_units_get_their_names(model: Model, tmp_path: Path) -> None:
    split = planted_split()
    path = scan(model, split, tmp_path / "units.h5", Wanted(("parts",), 2)).path
    assert add_names(model, split, path, ("parts",)) == {"parts": 1}
    store = Store.open(path, model)
    corner = store.unit("parts", CORNER)
    assert corner.name == "corner"
    assert corner.evidence.startswith("8 of its 8 top pictures, 33.3 % of all; p ")
    assert "corrected for 4 units and" in corner.evidence
    assert store.unit("parts", EDGE).name == ""  # two classes excite it
    assert store.unit("parts", DEAD).name == ""
    assert store.names("parts") == ["", "", "corner", ""]


def test_a_unit_that_looks_at_a_part_is_called_by_it(model: Model, tmp_path: Path) -> None:
    """Of pictures with a corner and an edge beside it, the corner unit's places lie in the part drawn there."""
    parts = []
    for _, row, column, _ in places():
        tip, rest = np.zeros((2, SIDE, SIDE), bool)
        tip[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        rest[row + 3 :, column + 3 :] = True
        parts.append({"tip": tip, "rest": rest})
    split = replace(planted_split(), parts=parts, attributes=None, labels=np.full(24, -1))
    path = scan(model, split, tmp_path / "units.h5", Wanted(("parts",), 2, kinds=("top",))).path
    add_names(model, split, path, ("parts",))
    unit = Store.open(path, model).unit("parts", CORNER)
    assert unit.name == "tip"
    assert "top places" in unit.evidence
    assert "IoU" in unit.evidence


def test_chance_gives_no_names() -> None:
    """Among 20,000 units with random top pictures, fewer than two in a hundred tries of a layer may be named at all."""
    random = np.random.default_rng(0)
    has = random.random((500, 12)) < random.uniform(0.02, 0.9, 12)
    named = 0
    for _ in range(40):
        rows = np.array([random.choice(500, EVIDENCE, replace=False) for _ in range(200)], np.int32)
        named += int((by_traits(rows, has).p < SURE).any())
        counts = random.binomial(EVIDENCE, 0.2, (200, 3))
        named += int((by_parts(counts, np.full(200, EVIDENCE)).p < SURE).any())
    assert named <= 4


def test_the_test_is_fishers() -> None:
    has = np.zeros((40, 1), bool)
    has[:10] = True
    rows = np.array([[0, 1, 2, 3, 4, 20, NONE]], np.int32)
    expected = fisher_exact([[5, 1], [5, 29]], alternative="greater").pvalue
    found = by_traits(rows, has)
    assert found.p[0] == pytest.approx(expected)
    assert found.share[0] == pytest.approx(5 / 6)
    assert found.expected[0] == pytest.approx(0.25)


def test_traits_are_classes_and_attributes_in_words() -> None:
    split = planted_split(4)
    attributes = [
        {"tail_colour": "red", "wheels": "not_protruded", "has_bill_shape::hooked": 0.4 + 0.01 * at} for at in range(12)
    ]
    names, has = traits_of(replace(split, attributes=attributes), CLASSES)
    assert names == [*CLASSES, "bill shape hooked"]  # what all have tells nothing
    assert has[:, 3].tolist() == [at >= 10 for at in range(12)]
    attributes[3] = {"tail_colour": "dark_blue", "wheels": "protruded"}
    names, _ = traits_of(replace(split, attributes=attributes), ())
    assert {"red tail", "dark blue tail", "not protruded wheels", "protruded wheels"} <= set(names)
