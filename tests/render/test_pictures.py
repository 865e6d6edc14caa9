"""Red must mean for, blue against, white nothing, on a scale that is the same both ways."""

import io

import numpy as np
import pytest
from PIL import Image

from rationale.explanation.report import _bars, _path
from rationale.render.colours import diverging, symmetric_scale
from rationale.render.numbers import percent, signed
from rationale.render.pictures import enlarge, heatmap_picture, map_png, overlay_picture, png_bytes, with_scale_bar


def test_signs_and_zero() -> None:
    red, blue, white = diverging(np.array([1.0, -1.0, 0.0]), 1.0).astype(int)
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert white.tolist() == [255, 255, 255]


def test_both_arms_darken_together() -> None:
    """Equal magnitudes look equally strong: luma falls steadily and differs little between the arms."""
    strengths = np.linspace(0, 1, 50)
    luma = [diverging(sign * strengths, 1.0) @ [0.299, 0.587, 0.114] for sign in (1, -1)]
    for arm in luma:
        assert (np.diff(arm) < 0).all()
    assert np.abs(luma[0] - luma[1]).max() < 40


def test_the_scale_is_symmetric_and_never_zero() -> None:
    values = np.array([[0.5, -2.0]])
    assert symmetric_scale(values) == 2.0
    assert symmetric_scale(np.zeros((3, 3))) == 1.0
    np.testing.assert_array_equal(diverging(values, 2.0)[0, 1], diverging(np.array([-9.0]), 2.0)[0])


def test_an_overlay_shows_the_photo_where_nothing_is_relevant() -> None:
    photo = np.full((4, 4, 3), 100, np.uint8)
    heatmap = np.zeros((4, 4))
    heatmap[0, 0] = 3
    overlay = overlay_picture(photo, heatmap, 3.0)
    assert (overlay[1:] == overlay[1, 1]).all()
    np.testing.assert_array_equal(overlay[0, 0], diverging(np.array([3.0]), 3.0)[0])


@pytest.mark.parametrize("shape", [(28, 28), (227, 227), (1, 1), (500, 20)])
def test_pictures_are_enlarged_by_whole_steps_and_carry_their_scale(shape: tuple[int, int]) -> None:
    picture = heatmap_picture(np.random.default_rng(0).normal(size=shape), 1.0)
    large = enlarge(picture)
    factor = large.shape[0] // shape[0]
    np.testing.assert_array_equal(large[::factor, ::factor], picture)
    barred = with_scale_bar(large, 0.123)
    assert barred.shape[0] == large.shape[0] + 44
    with Image.open(io.BytesIO(png_bytes(barred))) as image:
        np.testing.assert_array_equal(np.array(image), barred)


def test_numbers_are_readable() -> None:
    assert [signed(value) for value in (1.2345, -0.5, 0)] == ["+1.23", "−0.5", "+0"]
    assert [percent(value) for value in (0.99999, 1, 0.5, 0.0001, 0)] == [
        "> 99.9 %",
        "100.0 %",
        "50.0 %",
        "< 0.1 %",
        "0.0 %",
    ]


def test_bars_keep_order_and_sign() -> None:
    heights = _bars(np.array([2.0, 1.0, -1.0]))
    assert heights.tolist() == [50, 25, -25]
    assert _path(heights, "for") == "M0 50v-50h.84V50M1 50v-25h.84V50"
    assert _path(heights, "against") == "M2 50v25h.84V50"
    assert len(_bars(np.linspace(1, -1, 500))) == 120


def test_a_map_keeps_its_colours_and_white_means_nothing() -> None:
    values = np.array([[-3.0, -1.0, -1e-9, 0.0], [1e-9, 1.0, 2.0, 3.0]])
    with Image.open(io.BytesIO(map_png(values, 2.0))) as image:
        drawn = np.array(image.convert("RGB")).astype(int)
    assert np.abs(drawn - diverging(values, 2.0)).max() <= 4
    white = (drawn == 255).all(axis=-1)
    assert white.tolist() == (values == 0).tolist()
