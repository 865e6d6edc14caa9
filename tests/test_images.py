"""Every kind of picture a user may hand over must be read, and every kind of rubbish refused in one clear line."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

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


@pytest.mark.parametrize("maximum", [300, 4095, 65535])
@pytest.mark.parametrize("magic", ["P2", "P5"])
def test_a_graymap_of_sixteen_bits_is_as_dark_as_it_says(tmp_path: Path, maximum: int, magic: str) -> None:
    """A night scene whose samples stay below 256 is black, not a picture of eight bits."""
    ramp = np.linspace(0, 255, 60).astype(int).reshape(6, 10)
    bright = np.full((6, 10), maximum)
    for samples in (ramp, bright):
        path = tmp_path / "picture.pgm"
        header = f"{magic}\n10 6\n{maximum}\n".encode()
        plain = " ".join(map(str, samples.ravel())).encode()
        path.write_bytes(header + (plain if magic == "P2" else samples.astype(">u2").tobytes()))
        assert np.abs(load_image(path) - samples * (255 / maximum)).max() <= 1


def png(depth: int, colour: int, rows: list[bytes], width: int, transparent: bytes) -> bytes:
    """A PNG file by hand: Pillow writes few of the kinds that exist."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = (chunk(b"IHDR", header), chunk(b"tRNS", transparent), chunk(b"IDAT", body), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "seen"),
    [
        (1, b"\x40", 0, [255, 255]),  # samples 0, 1; black is transparent
        (1, b"\x40", 1, [0, 255]),
        (2, b"\x60", 1, [255, 170]),  # samples 1, 2
        (4, b"\x37", 3, [255, 119]),
        (8, b"\x00\x14", 0, [255, 20]),
        (8, b"\x00\x14", 20, [0, 255]),
        (16, b"\x00\x07\x80\x00", 7, [255, 128]),
        (16, b"\x00\x07\x00\x08", 7, [255, 0]),
    ],
)
def test_what_a_grey_file_declares_transparent_is_white(
    tmp_path: Path, depth: int, row: bytes, transparent: int, seen: list[int]
) -> None:
    path = tmp_path / "drawing.png"
    path.write_bytes(png(depth, 0, [row] * 3, 2, struct.pack(">H", transparent)))
    assert load_image(path).tolist() == [seen] * 3
    with Image.open(path) as opened:
        assert load_image(opened).tolist() == [seen] * 3


@pytest.mark.parametrize("depth", [8, 16])
def test_what_a_colour_file_declares_transparent_is_white(tmp_path: Path, depth: int) -> None:
    low, high = [9, 0, 0], [0, 40, 250]
    scale = 257 if depth == 16 else 1
    row = struct.pack(">6H" if depth == 16 else ">6B", *(each * scale for each in low + high))
    path = tmp_path / "drawing.png"
    path.write_bytes(png(depth, 2, [row], 2, struct.pack(">3H", *(each * scale for each in low))))
    assert load_image(path).tolist() == [[[255, 255, 255], high]]


def test_a_tiff_file_whose_zero_is_white(tmp_path: Path) -> None:
    """Scanners write them; Pillow turns eight bits around, not sixteen."""
    wide = RGB[:, :, 0].astype(np.uint16) * 257
    for samples in (wide, RGB[:, :, 0]):
        path = saved(tmp_path, Image.fromarray(samples), "scan.tiff")
        with Image.open(path) as opened:
            assert opened.tag_v2[262] == 1
        content = bytearray(path.read_bytes())
        place = content.index(struct.pack("<HHI", 262, 3, 1)) + 8
        content[place] = 0
        path.write_bytes(content)
        np.testing.assert_array_equal(load_image(path), 255 - RGB[:, :, 0])


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
    assert (fit(pixels, (28, 28), "pad", filled_with=0) == 90).any()  # of a thread, too, something is left


@pytest.mark.parametrize("shape", [(30, 47), (47, 30), (28, 28), (200, 133), (19, 301)])
def test_padding_is_pillows(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    for size in ((28, 28), (144, 288), (227, 100)):
        pillows = ImageOps.pad(Image.fromarray(picture), size[::-1], Image.Resampling.BICUBIC, color=(7, 7, 7))
        np.testing.assert_array_equal(fit(picture, size, "pad", filled_with=(7, 7, 7)), np.array(pillows))


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
