"""Every kind of picture a user may hand over must be read, and every kind of rubbish refused in one clear line."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rationale import images
from rationale.errors import ImageError
from rationale.images import fit, load_image

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def saved(folder: Path, image: Image.Image, name: str = "picture.png", **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def test_rgb_and_grey_come_as_they_are(tmp_path: Path) -> None:
    np.testing.assert_array_equal(load_image(saved(tmp_path, Image.fromarray(RGB))), RGB)
    grey = RGB[:, :, 0]
    np.testing.assert_array_equal(load_image(saved(tmp_path, Image.fromarray(grey))), grey)
    np.testing.assert_array_equal(load_image(RGB), RGB)
    np.testing.assert_array_equal(load_image(Image.fromarray(RGB)), RGB)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full((20, 30), 255, np.uint8)])
    rgba[:5, :, 3] = 0
    pixels = load_image(saved(tmp_path, Image.fromarray(rgba)))
    assert (pixels[:5] == 255).all()
    np.testing.assert_array_equal(pixels[5:], RGB[5:])
    half = Image.new("LA", (4, 4), (0, 128))
    assert abs(int(load_image(saved(tmp_path, half))[0, 0, 0]) - 127) <= 1


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(16)
    np.testing.assert_array_equal(load_image(saved(tmp_path, image)), np.array(image.convert("RGB")))
    image.info["transparency"] = 0
    pixels = load_image(saved(tmp_path, image, transparency=0))
    assert (pixels[np.array(image) == 0] == 255).all()


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    wide = (RGB[:, :, 0].astype(np.uint16)) * 257
    np.testing.assert_array_equal(load_image(saved(tmp_path, Image.fromarray(wide))), RGB[:, :, 0])
    dark = np.full((4, 4), 200, np.uint16)
    assert load_image(saved(tmp_path, Image.fromarray(dark))).max() == 1
    floats = Image.fromarray(RGB[:, :, 0].astype(np.float32) / 255)
    np.testing.assert_array_equal(load_image(saved(tmp_path, floats, "float.tiff")), RGB[:, :, 0])


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    pixels = load_image(saved(tmp_path, image, "print.jpg", quality=100))
    assert pixels.shape == (8, 8, 3)
    assert pixels[0, 0, 0] > 200
    assert pixels[0, 0, 1:].max() < 60


def test_exif_turns_the_picture_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = load_image(saved(tmp_path, Image.fromarray(RGB), "turned.png", exif=exif))
    np.testing.assert_array_equal(pixels, np.rot90(RGB, -1))


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (3, 2)])
def test_tiny_and_narrow_pictures_fit(shape: tuple[int, int], tmp_path: Path) -> None:
    pixels = load_image(saved(tmp_path, Image.fromarray(np.full(shape, 90, np.uint8))))
    for how in ("crop", "pad", "stretch"):
        fitted = fit(pixels, (28, 28), how)
        assert fitted.shape == (28, 28)
        assert (fitted == 90).all()


def test_fit_keeps_what_it_promises() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255
    assert fit(wide, (20, 20), "crop").mean() > 240
    assert fit(wide, (20, 20), "stretch").shape == (20, 20, 3)
    padded = fit(wide, (40, 40), "pad")
    assert (padded[:10] == 0).all()
    assert padded[20, 20, 0] == 255


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    text = folder / "text.png"
    text.write_text("I am no picture")
    empty = folder / "empty.png"
    empty.touch()
    whole = saved(folder, Image.fromarray(RGB), "whole.png")
    cut = folder / "cut.png"
    cut.write_bytes(whole.read_bytes()[:-300])
    nan = saved(folder, Image.fromarray(np.full((3, 3), np.nan, np.float32)), "nan.tiff")
    pipe = folder / "pipe.png"
    os.mkfifo(pipe)
    return {
        "text": (text, "not a picture"),
        "empty": (empty, "empty"),
        "directory": (folder, "a directory"),
        "missing": (folder / "nowhere.png", "no such file"),
        "cut off": (cut, "damaged or cut off"),
        "nan": (nan, "NaN"),
        "pipe": (pipe, "not a regular file"),
        "name with a null": (Path("a\0b.png"), "no such file|cannot be opened"),
        "name too long": (Path("x" * 5000), "cannot be opened"),
    }


@pytest.mark.parametrize(
    "kind",
    ["text", "empty", "directory", "missing", "cut off", "nan", "pipe", "name with a null", "name too long"],
)
def test_rubbish_is_one_clear_error(kind: str, tmp_path: Path) -> None:
    path, message = broken_files(tmp_path)[kind]
    with pytest.raises(ImageError, match=message):
        load_image(path)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tmp_path / "bomb.png"
    Image.new("1", (40_000, 40_000)).save(bomb)
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(ImageError, match="more than 100,000,000 pixels"):
        load_image(bomb)
    monkeypatch.setattr(images, "MAX_PIXELS", 100)
    with pytest.raises(ImageError, match="more than 100 pixels"):
        load_image(saved(tmp_path, Image.fromarray(RGB)))


@pytest.mark.parametrize("array", [RGB.astype(float), RGB[None], np.zeros((0, 4), np.uint8), RGB[:, :, :2]])
def test_arrays_of_another_kind_are_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="uint8"):
        load_image(array)
