"""Sheets must show what the store knows of the unit that was asked for, and mistakes must be one clear line."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale.model import Model
from rationale.units import Store, Wanted, scan
from rationale.units.poster import layer_picture, unit_picture
from rationale.units.sheet import facts_of, layer_page, unit_page
from tests.units.planted import CORNER, DEAD, EDGE, planted_model, planted_split, write_pictures

RATIONALE = [str(Path(sys.executable).with_name("rationale"))]


def run(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RATIONALE, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted_model(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def store(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("store") / "units.h5"
    return Store.open(scan(model, planted_split(), path, Wanted(("parts",), 4, highlight="guided")).path, model)


def test_a_units_page_shows_its_crops_and_what_excites_it_in_them(store: Store) -> None:
    page = unit_page(store, store.unit("parts", CORNER))
    assert "planted" in page
    assert "3 × 3 pixels" in page
    assert "33.3 % of the pictures" in page
    assert page.count('alt="What excites the unit in it"') == 4
    assert "(guided)" in page
    assert len(re.findall('alt="corner"', page)) >= 4


def test_what_excites_a_unit_is_drawn_in_its_crop(store: Store) -> None:
    """Of the corner's nine pixels those that are to be bright count for it; they are the lower right four."""
    drawn = store.unit("parts", CORNER).examples["top"][0].highlight
    assert drawn.shape == (3, 3)
    assert (drawn[1:, 1:] > 200).all()
    assert (drawn[0] < 60).all()


def test_a_dead_unit_is_shown_as_dead(store: Store) -> None:
    unit = store.unit("parts", DEAD)
    assert ("fires on", "no picture: dead") in facts_of(unit)
    assert "no picture: dead" in unit_page(store, unit)
    assert '<span class="fires">dead</span>' in layer_page(store, "parts")
    assert unit_picture(store, unit).shape[2] == 3


def test_pictures_hold_the_crops(store: Store) -> None:
    """The first tile of the first row is the unit's best crop, enlarged in whole steps."""
    unit = store.unit("parts", EDGE)
    crop = unit.examples["top"][0].crop
    factor = 112 // 3
    tile = np.repeat(crop.repeat(factor, axis=0).repeat(factor, axis=1)[..., None], 3, axis=2)
    sheet = unit_picture(store, unit)
    column = np.flatnonzero((sheet[:, 29] == tile[0, 0]).all(axis=1))
    assert any(np.array_equal(sheet[y : y + tile.shape[0], 28 : 28 + tile.shape[1]], tile) for y in column) or any(
        np.array_equal(sheet[y : y + tile.shape[0], 28 + x : 28 + x + tile.shape[1]], tile)
        for y in column
        for x in range(3)
    )
    assert layer_picture(store, "parts").shape[0] > 100


def test_the_commands_make_and_draw_a_store(tmp_path: Path) -> None:
    planted_model(tmp_path / "planted")
    write_pictures(tmp_path / "planted" / "pictures")
    (tmp_path / "planted" / "pictures" / "train" / "corner" / "torn.png").write_bytes(b"torn")
    made = run("units", "top", "--model", "planted", "--out", "units.h5", "-k", 3, cwd=tmp_path)
    assert made.returncode == 0
    assert "torn.png" in made.stderr
    assert made.stdout == "wrote units.h5: 2 layers, from 24 pictures\n2 units have a name\n"
    show = ("units", "show", "--model", "planted", "--store", "units.h5", "--out", "sheets")
    assert run(*show, "--layer", "parts", "--unit", EDGE, cwd=tmp_path).returncode == 0
    assert run(*show, "--layer", "score", cwd=tmp_path).returncode == 0
    assert sorted(path.name for path in (tmp_path / "sheets").iterdir()) == [
        "parts-0.html",
        "parts-0.png",
        "score.html",
        "score.png",
    ]
    assert Image.open(tmp_path / "sheets" / "parts-0.png").width > 600
    photo = tmp_path / "planted" / "pictures" / "train" / "corner" / "00.png"
    lit = run(*show, "--layer", "parts", "--unit", EDGE, "--photo", photo, "--place", "everywhere", cwd=tmp_path)
    assert lit.stdout == "wrote sheets/parts-0-photo.png\n"
    assert Image.open(tmp_path / "sheets" / "parts-0-photo.png").width > 600
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        ((*show, "--layer", "conv7"), "no layer is named 'conv7'; those with units are parts, score"),
        ((*show, "--layer", "parts", "--unit", 4), "has no unit 4; it has 0 to 3"),
        ((*show[:4], "--store", "none.h5", "--layer", "parts"), "there is no store of units"),
        ((*show, "--layer", "parts", "--photo", photo), "--photo wants a --unit"),
        ((*show, "--layer", "parts", "--unit", 0, "--photo", photo, "--place", "99,0"), "has no place 99, 0"),
        ((*show, "--layer", "parts", "--unit", 0, "--photo", photo, "--place", "here"), "'here' is unknown"),
        (("units", "top", "--model", "planted", "--layers", "data"), "has no units"),
        (("units", "top", "--model", "planted", "--pictures", "empty"), "empty: holds no pictures"),
        (("units", "top", "--model", "planted", "--kinds", "best"), "of the kind 'best' are unknown"),
        (("units", "top", "--model", "planted", "--highlight", "magic"), "'magic' is unknown; there is gradient"),
        (("units", "show", "--model", "mnist", "--store", "units.h5", "--layer", "conv1"), "other weights"),
    ):
        failed = run(*arguments, cwd=tmp_path)
        assert failed.returncode == 2, arguments
        assert failed.stderr.count("\n") == 1
        assert message in failed.stderr
