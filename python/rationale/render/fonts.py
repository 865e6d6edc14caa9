"""Fonts for names in any script: the first that has all signs of a text, of those that are there."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# File names as Debian, Fedora, macOS and Windows have them; what a text needs decides, then the order.
_FILES = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKjp-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "NotoSansArabic-Regular.ttf",
    "NotoSansHebrew-Regular.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansThai-Regular.ttf",
    "Arial Unicode.ttf",
    "PingFang.ttc",
    "msyh.ttc",
    "arial.ttf",
)
# The same for matplotlib, which falls back sign by sign.
FAMILIES = (
    "DejaVu Sans",
    "Noto Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "PingFang SC",
    "Microsoft YaHei",
    "Arial",
)
_MISSING = "\uffff"  # a sign that no font has: what is drawn like it is not there


def plain(text: str) -> str:
    """Without the signs that Pillow's own font lacks and plainer ones can stand for, so that lines share one font."""
    for sign, instead in {"×": "x", "−": "-", "·": "/", "…": "...", "≤": "<=", "“": '"', "”": '"', "’": "'"}.items():
        text = text.replace(sign, instead)
    return text


def font(size: int, text: str) -> Font:
    """A font in which all of a text can be drawn; where there is none, the one that lacks fewest of its signs."""
    own = ImageFont.load_default(size)
    signs = {each for each in text if not each.isspace()}
    if all(sign.isascii() for sign in signs):
        return own
    found = [own, *(each for name in _FILES if (each := _load(name, size)) is not None)]
    return min(found, key=lambda each: sum(not _has(each, sign) for sign in signs))


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    size: int,
    colour: tuple[int, int, int],
    anchor: str = "la",
) -> None:
    """Draws a line of text in a font that has its signs."""
    shown = plain(text)
    draw.text(at, shown, fill=colour, font=font(size, shown), anchor=anchor)


@cache
def _load(name: str, size: int) -> ImageFont.FreeTypeFont | None:
    for place in (name, *_matplotlib(name)):
        try:
            return ImageFont.truetype(place, size)
        except OSError:
            continue
    return None


def _matplotlib(name: str) -> list[str]:
    """Where matplotlib, if it is installed, keeps a font of its own."""
    spec = find_spec("matplotlib")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else None
    return [str(folder / "mpl-data" / "fonts" / "ttf" / name)] if folder else []


def _has(font: Font, sign: str) -> bool:
    drawn, missing = font.getmask(sign), font.getmask(_MISSING)
    return (drawn.size, bytes(drawn)) != (missing.size, bytes(missing))
