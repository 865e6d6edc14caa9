"""Photographs may be turned, cropped, mirrored and recoloured, but only as far as model.toml says, and repeatably."""

import numpy as np
import pytest
from PIL import Image

from rationale.description import Training
from rationale.training import augment
from rationale.training.augment import augmented_photographs
from rationale.training.classifier import _order

SIZE = (30, 60)


def photo() -> np.ndarray:
    """A red thing left of the middle, on grey."""
    pixels = np.full((60, 120, 3), 128, np.uint8)
    pixels[20:40, 30:50] = (200, 0, 0)
    return pixels


def changed(seed: int = 0, fit: str = "crop", **how: object) -> np.ndarray:
    training = Training(photographs=True, **how)
    return augmented_photographs([photo()], SIZE, fit, training, np.random.default_rng(seed))[0]


def centre_of_red(pixels: np.ndarray) -> np.ndarray:
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 60)
    return np.argwhere(red).mean(axis=0)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_nothing_asked_is_nothing_changed(fit: str) -> None:
    pixels = changed(fit=fit)
    assert pixels.shape == (*SIZE, 3)
    np.testing.assert_allclose(centre_of_red(pixels), [14.5, 19.5], atol=0.6)


def test_mirrored_half_of_the_time() -> None:
    sides = [centre_of_red(changed(seed, flip=True))[1] > 30 for seed in range(40)]
    assert 10 <= sum(sides) <= 30


def test_shifts_and_zooms_stay_within_their_shares() -> None:
    places = np.array([centre_of_red(changed(seed, shift=0.1)) for seed in range(40)]) - [14.5, 19.5]
    assert np.abs(places).max(axis=0)[0] <= 0.1 * 30 + 1
    assert np.abs(places).max(axis=0)[1] <= 0.1 * 60 + 1
    assert places.std(axis=0).min() > 0.5
    areas = [(changed(seed, zoom=0.2)[..., 1] < 60).mean() * 1800 for seed in range(40)]
    assert 60 <= min(areas) < 95 < 105 < max(areas) <= 100 * 1.7


def test_colours_change_within_their_share() -> None:
    greys = [changed(seed, colour=0.3)[0, 0].mean() for seed in range(40)]
    assert 128 * 0.7 * 0.7 <= min(greys) < 115 < 141 < max(greys) <= 255


def test_surroundings_of_any_colour_where_the_photograph_ends() -> None:
    turned = [changed(seed, fit="pad", rotate=10.0, border=1.0) for seed in range(30)]
    corners = {tuple(pixels[0, 0]) for pixels in turned} | {tuple(pixels[-1, -1]) for pixels in turned}
    assert (255, 255, 255) in corners
    assert (0, 0, 0) in corners
    plain = [changed(seed, fit="pad", rotate=10.0) for seed in range(30)]
    assert {tuple(pixels[0, 0]) for pixels in plain} == {(128, 128, 128)}


def test_chance_comes_from_the_seed_alone() -> None:
    how = {"rotate": 5.0, "zoom": 0.2, "shift": 0.1, "flip": True, "colour": 0.2, "border": 0.5}
    np.testing.assert_array_equal(changed(7, **how), changed(7, **how))
    assert np.any(changed(7, **how) != changed(8, **how))


def test_a_balanced_epoch_sees_every_class_equally_often_and_every_picture() -> None:
    classes = (0,) * 10 + (1,) * 3
    order = _order(1, 0, 13, classes)
    assert np.bincount(np.array(classes)[order]).tolist() == [10, 10]
    assert set(order.tolist()) == set(range(13))
    assert np.any(order != _order(1, 1, 13, classes))


def test_large_photographs_are_made_smaller_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A panorama would fill gigabytes; what fits within four inputs stays as it is, to the pixel."""
    random = np.random.default_rng(0)
    panorama = random.integers(0, 256, (6, 30_000, 3), dtype=np.uint8)
    small = random.integers(0, 256, (40, 80, 3), dtype=np.uint8)
    assert augment._not_larger(small, 80) is small
    assert augment._not_larger(panorama, 80).shape == (1, 80, 3)
    kept = Image.new
    sizes = []

    def canvas(mode, size, colour=0):
        sizes.append(size)
        return kept(mode, size, colour)

    monkeypatch.setattr(augment.Image, "new", canvas)
    how = Training(photographs=True)
    (seen,) = augmented_photographs([panorama], (20, 20), "stretch", how, np.random.default_rng(1))
    assert seen.shape == (20, 20, 3)
    assert max(sizes[-1]) <= 2.5 * 4 * 20, "the canvas, with its margins"
