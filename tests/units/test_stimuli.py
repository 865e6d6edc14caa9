"""Stimuli of planted units must show what these were made for; every gradient by hand must be that of differences."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rationale.errors import OptionError
from rationale.model import Model
from rationale.network import Network, part_below
from rationale.units import Store, Wanted, scan
from rationale.units.ascent import (
    apply,
    from_spectrum,
    likeness_gradient,
    regularised,
    resampling,
    spectrum_gradient,
    to_spectrum,
    total_variation_gradient,
    without_least,
)
from rationale.units.recipes import RECIPES, Recipe, recipe
from rationale.units.stimuli import add_stimuli, make_stimuli
from tests.conftest import ROOT
from tests.networks import batch_for
from tests.units.planted import CORNER, DEAD, EDGE, LYING, picture, planted_model, planted_split

QUICK = replace(RECIPES["fourier"], iterations=120, jitter=0, scale=0, rotation=0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return planted_model(tmp_path_factory.mktemp("planted"))


@pytest.mark.parametrize("name", ["blurred", "decayed", "sparse", "fourier"])
def test_the_stimulus_of_an_edge_unit_is_an_edge(model: Model, name: str) -> None:
    """Bright right of dark, as strong as a full edge at best: 3 − 2 = 1. The other unit's lies."""
    how = QUICK if name == "fourier" else replace(RECIPES[name], iterations=150, progress=2)
    made = make_stimuli(model, "parts", [EDGE, LYING], how, best=np.ones(2, np.float32))
    for stimulus, activation in zip((made.pictures[0], made.pictures[1].T), made.activation, strict=True):
        assert stimulus.shape == (3, 3)
        assert stimulus[:, 2].mean() > stimulus[:, 0].mean() + (200 if name == "fourier" else 60)
        left, right = stimulus[:, 0].astype(float).sum(), stimulus[:, 2].astype(float).sum()
        assert activation == pytest.approx((right - left) / 255 - 2, abs=1e-4)
    if name == "fourier":
        assert (made.activation > 0.8).all()


def test_the_least_stimulus_is_the_opposite(model: Model) -> None:
    made = make_stimuli(model, "parts", [EDGE], QUICK, sign=-1, best=np.ones(1, np.float32))
    assert made.pictures[0][:, 0].mean() > made.pictures[0][:, 2].mean() + 200
    assert made.activation[0] < -4.5  # of −3 − 2


def test_nothing_excites_a_dead_unit(model: Model) -> None:
    made = make_stimuli(model, "parts", [DEAD], replace(QUICK, iterations=10))
    assert made.activation[0] == pytest.approx(-1)


def test_a_stimulus_that_only_works_where_it_stands_says_so(model: Model, tmp_path: Path) -> None:
    """Moved by a pixel, the corner is not where the unit looks for it; pixels beside what it sees do not matter."""
    store = planted_store(model, tmp_path)
    add_stimuli(model, store.path, "parts", [CORNER, EDGE], QUICK)
    (corner,) = store.unit("parts", CORNER).stimuli
    assert corner.activation > 0.8
    assert corner.best == pytest.approx(1, abs=0.01)
    assert corner.shifted < 0.5 * corner.activation
    assert corner.is_fragile


def planted_store(model: Model, folder: Path) -> Store:
    return Store.open(scan(model, planted_split(), folder / "units.h5", Wanted(("parts", "score"), 2)).path, model)


def test_stopped_it_goes_on_and_comes_to_the_same_picture(model: Model, tmp_path: Path) -> None:
    def stop(done: int, total: int, what: str) -> None:
        if done == 25:
            raise KeyboardInterrupt

    for how in (replace(RECIPES["fourier"], iterations=60), replace(RECIPES["blurred"], iterations=60, jitter=2)):
        state = tmp_path / "state.npz"
        with pytest.raises(KeyboardInterrupt):
            make_stimuli(model, "parts", [EDGE, CORNER], how, report=stop, state=state)
        steps: list[int] = []
        again = make_stimuli(
            model, "parts", [EDGE, CORNER], how, state=state, report=lambda done, *_, steps=steps: steps.append(done)
        )
        assert steps[0] == 26
        whole = make_stimuli(model, "parts", [EDGE, CORNER], how)
        for one, other in zip(again.pictures, whole.pictures, strict=True):
            np.testing.assert_array_equal(one, other)
        assert not state.exists()


def test_a_damaged_or_foreign_state_is_not_gone_on_with(model: Model, tmp_path: Path) -> None:
    state = tmp_path / "state.npz"
    state.write_bytes(b"PK torn")
    how = replace(QUICK, iterations=3)
    found = make_stimuli(model, "parts", [EDGE], how, state=state)
    np.testing.assert_array_equal(found.pictures[0], make_stimuli(model, "parts", [EDGE], how).pictures[0])


def test_the_store_keeps_each_units_stimuli_and_makes_none_twice(model: Model, tmp_path: Path) -> None:
    store = planted_store(model, tmp_path)
    how = replace(QUICK, iterations=20)
    assert add_stimuli(model, store.path, "parts", [EDGE, LYING], how, together=1) == 2
    assert add_stimuli(model, store.path, "parts", [EDGE, LYING, CORNER], how) == 1
    assert add_stimuli(model, store.path, "parts", [EDGE], how, sign=-1) == 1
    assert add_stimuli(model, store.path, "score", [0], how) == 1
    recipes = [(each.recipe, each.sign) for each in store.unit("parts", EDGE).stimuli]
    assert sorted(recipes) == [("fourier", -1), ("fourier", 1)]
    assert store.unit("score", 0).stimuli[0].picture.shape == (14, 14)
    assert [each.id for each in store.unit("parts", EDGE).examples["top"]]
    with pytest.raises(OptionError, match="has no unit 9"):
        add_stimuli(model, store.path, "parts", [9], how)


def test_several_stimuli_of_a_unit_are_less_alike_with_diversity(model: Model) -> None:
    """The score for "vertical" is content with an edge anywhere; what else is in the picture is free."""
    how = replace(QUICK, iterations=60)

    def likeness(diversity: float) -> float:
        made = make_stimuli(model, "parts", [EDGE] * 4, replace(how, diversity=diversity))
        flat = np.array([each.ravel().astype(float) for each in made.pictures])
        correlation = np.corrcoef(flat)
        return float(correlation[np.triu_indices(4, 1)].mean())

    assert likeness(3.0) < likeness(0.0)


def test_it_begins_with_a_photograph_where_that_excites_the_unit(model: Model) -> None:
    photo = picture("corner", 6, 5, 220)
    made = make_stimuli(model, "parts", [CORNER], Recipe("still", 1, rate=1e-9, fourier=True), start=photo)
    assert made.pictures[0][0].max() < 10
    assert abs(int(made.pictures[0][2, 2]) - 220) < 6
    made = make_stimuli(model, "parts", [CORNER], QUICK, start=photo)
    assert made.activation[0] > 0.8


def test_units_of_branches_are_excited_below_what_joins_them() -> None:
    """From a start where the ReLU is closed there would be no gradient."""
    flight = Model.load("flight")
    made = make_stimuli(flight, "fire2/concat", [3, 100], replace(RECIPES["fourier"], iterations=40))
    assert (made.activation > 0).all()
    (shape,) = flight.network.inputs.values()
    assert shape[2:] == flight.input_size
    assert made.pictures[0].shape < made.pictures[1].shape


def test_the_lower_part_of_a_network_is_the_network() -> None:
    network = Network.load(ROOT / "prototxt" / "flight" / "classifier.prototxt")
    part = part_below(network, "fire3/concat")
    batch = batch_for(network, 2)
    network.forward(batch)
    part.forward(batch)
    np.testing.assert_array_equal(part.activation("fire3/concat"), network.activation("fire3/concat"))
    assert "fire4/concat" not in part.graph.layer_names
    part.forward(batch[:, :, :60, :70])
    with_relu = part_below(network, "conv1")
    with_relu.forward(batch)
    assert with_relu.activation("conv1").min() < 0  # what works in place over it is left out


# ---- gradients by hand -----------------------------------------------------------------------------------------------


def assert_gradient(value: Callable[[np.ndarray], float], found: np.ndarray, at: np.ndarray) -> None:
    random = np.random.default_rng(5)
    for _ in range(6):
        way = random.normal(size=at.shape)
        step = 1e-3
        expected = (value(at + step * way) - value(at - step * way)) / (2 * step)
        assert float((found * way).sum()) == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_total_variation_and_likeness_have_their_gradients() -> None:
    random = np.random.default_rng(0)
    pixels = random.normal(size=(2, 3, 5, 6))

    def variation(x: np.ndarray) -> float:
        return 0.5 * sum(float((np.diff(x, axis=axis) ** 2).sum()) for axis in (2, 3))

    assert_gradient(variation, total_variation_gradient(pixels), pixels)
    maps, units = random.normal(size=(4, 3, 2, 5)), np.array([1, 1, 2, 1])

    def likeness(x: np.ndarray) -> float:
        flat = x.reshape(4, 3, -1)
        grams = flat @ flat.transpose(0, 2, 1)
        pairs = [(0, 1), (0, 3), (1, 3)]
        return sum(
            float((grams[a] * grams[b]).sum() / np.sqrt((grams[a] ** 2).sum() * (grams[b] ** 2).sum()))
            for a, b in pairs
        )

    assert_gradient(likeness, likeness_gradient(maps, units), maps)


@pytest.mark.parametrize("size", [(6, 8), (5, 7), (6, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_frequencies_come_back_and_have_their_gradient(size: tuple[int, int], channels: int) -> None:
    random = np.random.default_rng(1)
    pictures = random.normal(size=(2, channels, *size))
    spectrum = to_spectrum(pictures)
    np.testing.assert_allclose(from_spectrum(spectrum, size), pictures, atol=1e-4)
    target = random.normal(size=pictures.shape)
    found = spectrum_gradient(target)
    way = to_spectrum(random.normal(size=pictures.shape))
    expected = float((target * from_spectrum(way, size)).sum())
    assert float((found.real * way.real + found.imag * way.imag).sum()) == pytest.approx(expected, rel=1e-3)


def test_resampling_turns_and_enlarges() -> None:
    picture = np.zeros((1, 1, 9, 9), np.float32)
    picture[0, 0, 4, 6] = 1
    turned = apply(resampling((9, 9), 1, np.pi / 2), picture)[0, 0]
    assert {tuple(map(int, each)) for each in np.argwhere(turned > 0.9)} in ({(2, 4)}, {(6, 4)})
    larger = apply(resampling((9, 9), 2, 0), picture)[0, 0]
    assert larger[4, 8] == pytest.approx(1)
    np.testing.assert_allclose(apply(resampling((9, 9), 1, 0), picture), picture)


def test_regularisers_do_what_they_are_called() -> None:
    pixels = np.arange(1, 13, dtype=np.float32).reshape(1, 1, 3, 4)
    assert (without_least(pixels, pixels, 50) == 0).sum() == 6
    assert without_least(pixels, pixels, 50).max() == 12
    slope = np.zeros_like(pixels)
    slope[..., 0, 0] = 100  # only the smallest pixel matters
    kept = regularised(pixels, slope, Recipe("one", small_contribution=99, decay=0.5), 1)
    assert kept[0, 0, 0, 0] == 0.5
    assert regularised(pixels, slope, Recipe("one", small_norm=90), 1).astype(bool).sum() == 2
    flat = regularised(pixels, slope, Recipe("one", blur=5, blur_every=2), 2)
    assert np.ptp(flat) < np.ptp(pixels) / 3
    np.testing.assert_array_equal(regularised(pixels, slope, Recipe("one", blur=5, blur_every=2), 3), pixels)
    assert (regularised(pixels * 1e-12, slope, Recipe("one"), 1) == 0).all()


def test_the_four_published_recipes_are_there() -> None:
    assert RECIPES["blurred"] == Recipe("blurred", 500, 100, 2, blur=0.5, blur_every=4, small_norm=50)
    assert RECIPES["decayed"] == Recipe("decayed", 750, 100, decay=0.3, small_norm=20)
    assert RECIPES["smooth"] == Recipe("smooth", 1000, 100, decay=1e-4, blur=1, blur_every=4)
    assert RECIPES["sparse"].small_contribution == 90
    assert recipe("smooth", iterations=7, rate=None).name == "smooth (iterations 7)"
    with pytest.raises(OptionError, match="there are blurred"):
        recipe("dream")
    with pytest.raises(OptionError, match="makes no sense"):
        recipe("smooth", decay=1.5)
