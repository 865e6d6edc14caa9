"""On a network whose units were planted the scan must find what they were made for; and it must survive everything."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from rationale.batch import Crew
from rationale.datasets import load_dataset, loose_pictures
from rationale.errors import DataError, OptionError, OutputError
from rationale.model import Model
from rationale.network import Box
from rationale.units import Store, Wanted, layers_of, scan, unit_layers
from rationale.units.layers import check_unit
from rationale.units.rank import (
    NONE,
    correlations,
    highest,
    lowest,
    spread,
    statistics,
    stretches_without_twins,
    without_twins,
)
from tests.hdf5 import assert_same
from tests.units.planted import CLASSES, CORNER, DEAD, EDGE, LYING, places, planted_model, planted_split, write_pictures

WANTED = Wanted(("parts", "score"), count=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted_model(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def store(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(scan(model, planted_split(), tmp_path_factory.mktemp("store") / "units.h5", WANTED).path, model)


@pytest.mark.parametrize(("number", "kinds"), [(EDGE, {"vertical", "corner"}), (LYING, {"horizontal", "corner"})])
def test_a_unit_for_an_edge_is_shown_edges_where_they_are(store: Store, number: int, kinds: set[str]) -> None:
    unit = store.unit("parts", number)
    made = {f"{kind}/{at}": (row, column) for at, (kind, row, column, _) in enumerate(places())}
    assert len(unit.examples["top"]) == 4
    for example in unit.examples["top"]:
        assert CLASSES[example.label] in kinds
        along = 1 if number == EDGE else 0
        # bright from pixel p on: the window over p − 2 … p or p − 1 … p + 1 has dark on one side, bright on the other
        assert made[example.id][along] - example.place[along] in (1, 2)
        assert example.box == Box(*example.place, example.place[0] + 3, example.place[1] + 3)
        crop = example.crop if number == EDGE else example.crop.T
        assert crop.shape == (3, 3)
        assert (crop[:, 2] > 190).all()
        assert (crop[:, 0] == 0).all()
    values = [example.value for example in unit.examples["top"]]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(unit.greatest)
    assert values[0] == pytest.approx(1)  # three pixels of full brightness less 2


def test_a_unit_for_a_corner_finds_each_corner(store: Store) -> None:
    unit = store.unit("parts", CORNER)
    made = {f"{kind}/{at}": (row - 1, column - 1) for at, (kind, row, column, _) in enumerate(places())}
    for example in unit.examples["top"]:
        assert CLASSES[example.label] == "corner"
        assert example.place == made[example.id]
    assert unit.fires == pytest.approx(8 / 24)
    assert sum(unit.histogram) == 24


def test_a_dead_unit_is_called_dead_and_has_no_top_pictures(store: Store) -> None:
    unit = store.unit("parts", DEAD)
    assert unit.dead
    assert unit.fires == 0
    assert [len(unit.examples[kind]) for kind in ("top", "spread", "lowest")] == [0, 0, 4]
    assert unit.partners == []
    assert [store.unit("parts", each).dead for each in (EDGE, CORNER, LYING)] == [False] * 3


def test_a_channel_that_answers_one_class_is_relevant_for_that_class_only(store: Store) -> None:
    """The edge unit fires for corners too; relevance for their own class goes to the unit of the corner."""
    assert {CLASSES[each.label] for each in store.unit("parts", EDGE).examples["relevant"]} == {"vertical"}
    assert {CLASSES[each.label] for each in store.unit("parts", CORNER).examples["relevant"]} == {"corner"}
    assert {CLASSES[each.label] for each in store.unit("score", 2).examples["top"]} == {"vertical", "corner"}
    whole = store.unit("score", 2).examples["top"][0]
    assert whole.crop.shape == (14, 14)


def test_what_excites_to_different_extents_goes_from_weak_to_strong(store: Store) -> None:
    unit = store.unit("parts", EDGE)
    values = [each.value for each in unit.examples["spread"]]
    assert len(values) == 4
    assert values == sorted(values)
    assert values[0] > unit.least
    assert values[-1] > 2 * values[0]


def test_values_and_relevance_are_those_of_single_pictures(mnist_model: Model, tmp_path: Path) -> None:
    test = load_dataset("mnist").split("test")
    test = replace(test, ids=test.ids[:30], images=test.images[:30], labels=test.labels[:30])
    path = scan(mnist_model, test, tmp_path / "units.h5", Wanted(("conv2", "ip1"), count=3)).path
    store = Store.open(path, mnist_model)
    rows = {name: row for row, name in enumerate(test.ids)}
    for layer, number in (("conv2", 7), ("ip1", 100)):
        unit = store.unit(layer, number)
        for example in unit.examples["top"]:
            mnist_model.network.forward(mnist_model.preprocess([test.images[rows[example.id]]]))
            maps = mnist_model.network.activation(layer).reshape(-1, *{"conv2": (8, 8), "ip1": (1, 1)}[layer])
            assert maps[number].max() == pytest.approx(example.value, rel=1e-5)
            assert maps[number][example.place] == maps[number].max()
        for example in unit.examples["relevant"]:
            explained = mnist_model.explain(test.images[rows[example.id]], target=int(test.labels[rows[example.id]]))
            assert explained.channel_relevance(layer)[number] == pytest.approx(example.value, abs=1e-4)


def test_killed_at_any_moment_it_comes_to_the_same_store(tmp_path: Path) -> None:
    """Killed after some parts, and while the store is made of them."""
    command = [sys.executable, "-c", "from rationale.cli import main; main()", "units", "top", "--split", "test"]
    command += ["--layers", "conv1,conv2", "--count", "2", "--threads", "1"]
    subprocess.run([*command, "--out", tmp_path / "whole.h5"], check=True, capture_output=True)
    parts = tmp_path / "cut.h5.parts"
    for moment in (lambda: len(list(parts.glob("*.npz"))) >= 2, (tmp_path / "cut.h5.part").exists):
        running = subprocess.Popen([*command, "--out", tmp_path / "cut.h5"], stderr=subprocess.DEVNULL)
        while not moment() and running.poll() is None:
            time.sleep(0.002)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL, "it ended before it could be killed"
        assert not (tmp_path / "cut.h5").exists()
    subprocess.run([*command, "--out", tmp_path / "cut.h5"], check=True, capture_output=True)
    assert_same(tmp_path / "cut.h5", tmp_path / "whole.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.h5", "whole.h5"]


def test_workers_come_to_the_same_store(model: Model, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="pip install 'rationale[cluster]'")
    folder = tmp_path / "planted"
    write_pictures(folder / "pictures")
    own = planted_model(folder)
    train = load_dataset(own.description.dataset).split("train")
    one = scan(own, train, tmp_path / "one.h5", WANTED, crew=Crew(threads=1)).path
    two = scan(own, train, tmp_path / "two.h5", WANTED, crew=Crew(workers=2)).path
    assert_same(one, two)
    loose = loose_pictures(folder / "pictures" / "train")
    one = scan(own, loose, tmp_path / "three.h5", WANTED, crew=Crew(threads=1)).path
    two = scan(own, loose, tmp_path / "four.h5", WANTED, crew=Crew(workers=2)).path
    assert_same(one, two)


def test_pictures_that_cannot_be_read_are_listed_and_skipped(model: Model, tmp_path: Path) -> None:
    write_pictures(tmp_path / "photos")
    for name in ("aa", "zz"):
        (tmp_path / "photos" / "train" / f"{name}.png").write_bytes(b"no picture")
    loose = loose_pictures(tmp_path / "photos" / "train")
    found = scan(model, loose, tmp_path / "units.h5", WANTED)
    assert found.pictures == len(loose) - 2
    assert [Path(each.partition(":")[0]).name for each in found.unreadable] == ["aa.png", "zz.png"]
    clean = scan(model, planted_split(), tmp_path / "clean.h5", WANTED).path
    values = [Store.open(path, model).values("parts") for path in (found.path, clean)]
    for name in ("least", "greatest", "fires"):
        np.testing.assert_allclose(values[0][name], values[1][name])
    for path in (tmp_path / "photos" / "train").rglob("*.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of the 26 pictures can be read"):
        scan(model, loose_pictures(tmp_path / "photos" / "train"), tmp_path / "none.h5", WANTED)
    assert not (tmp_path / "none.h5").exists()


def test_near_duplicates_are_dropped_if_asked(model: Model, tmp_path: Path) -> None:
    split = planted_split(4)
    twice = replace(
        split,
        ids=[*split.ids, *(f"{each}-again" for each in split.ids)],
        images=[*split.images, *split.images],
        labels=np.tile(split.labels, 2),
        attributes=None,
    )

    def top(distinct: bool) -> list[str]:
        wanted = replace(WANTED, count=2, distinct=distinct)
        path = scan(model, twice, tmp_path / f"{distinct}.h5", wanted).path
        return [each.id for each in Store.open(path, model).unit("parts", CORNER).examples["top"]]

    best, again = top(False)
    assert again == f"{best}-again"
    assert len({each.removesuffix("-again") for each in top(True)}) == len(top(True))


def test_another_layer_is_added_and_what_is_there_stays(model: Model, tmp_path: Path) -> None:
    path = tmp_path / "units.h5"
    scan(model, planted_split(), path, replace(WANTED, layers=("parts",)))
    before = Store.open(path, model).unit("parts", EDGE)
    scan(model, planted_split(), path, replace(WANTED, layers=("score",)))
    store = Store.open(path, model)
    assert store.layers == {"parts": 4, "score": 3}
    after = store.unit("parts", EDGE)
    assert [each.id for each in after.examples["top"]] == [each.id for each in before.examples["top"]]


def test_a_store_of_other_weights_or_pictures_is_refused(model: Model, tmp_path: Path) -> None:
    path = scan(model, planted_split(), tmp_path / "units.h5", WANTED).path
    with pytest.raises(OptionError, match="made of other pictures"):
        scan(model, planted_split(5), path, WANTED)
    other = planted_model(tmp_path / "planted")
    weights = tmp_path / "planted" / "classifier.caffemodel"
    weights.write_bytes(weights.read_bytes().replace(np.float32(-3).tobytes(), np.float32(-3.5).tobytes()))
    for use in (lambda: Store.open(path, other), lambda: scan(other, planted_split(), path, WANTED)):
        with pytest.raises(OptionError, match="other weights"):
            use()


def test_what_is_no_store_is_named_and_left_alone(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="units top --model"):
        Store.open(tmp_path / "none.h5", model)
    (tmp_path / "text.h5").write_text("mine")
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["important"] = 1
    for name in ("text.h5", "mine.h5"):
        with pytest.raises(DataError, match=r"no store|no HDF5 file"):
            Store.open(tmp_path / name)
        with pytest.raises(OutputError, match="choose another --out"):
            scan(model, planted_split(), tmp_path / name, WANTED)
    assert (tmp_path / "text.h5").read_text() == "mine"
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="is a directory"):
        scan(model, planted_split(), tmp_path / "folder", WANTED)


def test_a_full_disk_is_one_clear_line_and_the_scan_goes_on_later(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old store stays whole, and the parts are there for the next try."""
    path = tmp_path / "units.h5"
    scan(model, planted_split(), path, replace(WANTED, layers=("score",)))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("rationale.units.store.os.fsync", full)
        with pytest.raises(OutputError, match="No space left on device"):
            scan(model, planted_split(), path, WANTED)
    assert path.read_bytes() == before
    scan(model, planted_split(), path, WANTED)
    assert set(Store.open(path, model).layers) == {"parts", "score"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["units.h5"]


def test_layers_and_units_that_are_not_there_are_named(model: Model, store: Store) -> None:
    with pytest.raises(OptionError, match="no layer is named 'conv9'; those with units are parts, score"):
        layers_of(model.network, "parts,conv9")
    with pytest.raises(OptionError, match="has no units"):
        layers_of(model.network, "data")
    with pytest.raises(OptionError, match="named twice"):
        layers_of(model.network, "parts,relu")
    with pytest.raises(OptionError, match="has no unit 4; it has 0 to 3"):
        check_unit(model.network, "parts", 4)
    with pytest.raises(OptionError, match="has no layer 'most'"):
        store.unit("most", 0)
    with pytest.raises(OptionError, match="has no unit 3; it has 0 to 2"):
        store.unit("score", 3)
    with pytest.raises(OptionError, match="unknown"):
        Wanted(("parts",), kinds=("best",))


def test_branches_count_once_as_what_joins_them() -> None:
    flight = Model.load("flight").network
    assert unit_layers(flight)[:4] == ["conv1", "fire2/conv1x1_1", "fire2/concat", "fire3/conv1x1_1"]
    assert "fire2/conv3x3_2" in unit_layers(flight, every=True)
    assert layers_of(flight, "all") == unit_layers(flight, every=True)


def test_statistics_are_their_definitions() -> None:
    random = np.random.default_rng(0)
    values = random.normal(size=(400, 5)).astype(np.float32)
    values[:, 1] = 2 * values[:, 0] + 1
    values[:, 2] = 7
    values[:, 3] = np.maximum(values[:, 3], 0)
    found = statistics(values)
    assert found.dead.tolist() == [False, False, True, False, False]
    assert found.fires[3] == pytest.approx((values[:, 3] > 0).mean())
    assert found.partners[0, 0] == 1
    assert found.correlation[0, 0] == pytest.approx(1, abs=1e-5)
    assert found.partners[2].tolist() == [NONE] * 5
    for unit in (0, 3, 4):
        expected, _ = np.histogram(values[:, unit], 32, (values[:, unit].min(), values[:, unit].max()))
        assert np.abs(found.histogram[unit] - expected).sum() <= 4  # rounding at the edges of bins
    np.testing.assert_allclose(
        correlations(values)[np.ix_([0, 1, 3, 4], [0, 1, 3, 4])], np.corrcoef(values[:, [0, 1, 3, 4]].T), atol=1e-5
    )


@pytest.mark.parametrize("pictures", [3, 50, 400])
def test_rankings_are_those_of_a_full_sort(pictures: int) -> None:
    random = np.random.default_rng(1)
    values = np.maximum(random.integers(-6, 6, (pictures, 7)), 0).astype(np.float32)  # many ties
    least = values.min(axis=0)
    for unit, rows in enumerate(highest(values, 4)):
        order = [row for row in np.argsort(-values[:, unit], kind="stable") if values[row, unit] > least[unit]][:4]
        assert rows.tolist() == order + [NONE] * (4 - len(order))
    for unit, rows in enumerate(lowest(values, 4)):
        order = np.argsort(values[:, unit], kind="stable")[:4].tolist()
        assert rows.tolist() == order + [NONE] * (4 - len(order))
    for unit, rows in enumerate(spread(values, 4)):
        kept = rows[rows != NONE]
        assert (values[kept, unit] > least[unit]).all()
        assert (np.diff(values[kept, unit]) >= 0).all()
        assert len(set(kept.tolist())) == len(kept)


def test_without_twins_the_spread_still_goes_through_all_ranks() -> None:
    """Not only through the weakest, however many spare ones are looked at for their sake."""
    values = np.random.default_rng(0).permutation(100).astype(np.float32)[:, None]
    candidates = spread(values, 12)
    found = stretches_without_twins(candidates, lambda rows: np.arange(len(rows)), 4)
    np.testing.assert_allclose(values[found[0], 0], [12, 37, 62, 87], atol=2)
    alike = stretches_without_twins(candidates, lambda rows: (values[rows, 0] > 50).astype(np.int64), 4)
    assert [NONE if row == NONE else values[row, 0] > 50 for row in alike[0]] == [False, NONE, True, NONE]
    few = spread(np.array([[0.0], [1.0], [2.0]], np.float32), 8)
    kept = stretches_without_twins(few, lambda rows: np.arange(len(rows)), 4)
    assert sorted(kept[kept != NONE].tolist()) == [1, 2]


def test_of_twins_the_first_is_kept() -> None:
    found = without_twins(np.array([[4, 2, 9, NONE]], np.int32), lambda rows: np.array([1, 1, 0]), 3)
    assert found.tolist() == [[4, 9, NONE]]
