"""Sheets: one unit with all that is known of it, or all units of a layer at a glance, as PNG and as an HTML page."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from PIL import Image, ImageDraw, ImageFont

from rationale.images import Pixels, to_rgb
from rationale.model import Model
from rationale.render import gallery
from rationale.render.numbers import number, percent
from rationale.render.pictures import data_uri
from rationale.resources import printable
from rationale.units.highlight import METHODS, STRONGEST, From, Place, highlight, highlight_picture
from rationale.units.layers import maps_of
from rationale.units.store import KINDS, Example, Store, Unit

INK, SOFT, LINE, BAR = (28, 31, 36), (91, 100, 112), (227, 230, 234), (138, 148, 160)
_TILE, _GAP, _PAD = 112, 12, 28
_SMALL = 56  # a tile of a layer's sheet

HEADINGS: Mapping[str, tuple[str, str]] = {
    "top": ("Highest activation", "what excites it most"),
    "relevant": ("Highest relevance", "where it spoke most for the picture's class"),
    "spread": ("From weak to strong", "equal steps through the pictures that excite it"),
    "lowest": ("Lowest activation", "what leaves it coldest"),
}


def title_of(store: Store, layer: str, unit: Unit | None = None) -> str:
    """What a sheet is called."""
    return f"{store.about['model']} · {layer}" + (f" · unit {unit.number}" if unit is not None else "")


def facts_of(unit: Unit) -> list[tuple[str, str]]:
    """What is known of a unit in numbers, as name and value."""
    height, width = unit.size
    found = [
        ("sees", f"{height} × {width} pixels"),
        ("fires on", "no picture: dead" if unit.dead else f"{percent(unit.fires)} of the pictures"),
        ("activation", f"{figure(unit.least)} to {figure(unit.greatest)}, mean {figure(unit.mean)}"),
    ]
    if unit.partners and not unit.dead:
        shown = ", ".join(f"{partner} (r {r:+.2f})" for partner, r in unit.partners[:3])
        found.append(("goes with", shown))
    return found


def figure(value: float) -> str:
    """Three significant digits, without an exponent where it can be."""
    return number(float(f"{value:.3g}"), 7)


def photo_picture(model: Model, view: Pixels, layer: str, unit: int, place: str | Place = STRONGEST) -> Pixels:
    """What of a picture excites a unit, by every method side by side, uint8 (H, W, 3).

    Args:
        model: whose unit.
        view: the picture as `Model.view` gives it.
        layer, unit: which.
        place: as in `From`.
    """
    network, start = model.network, From(layer, unit, place)
    network.forward(model.preprocess([view]))
    peak = float(maps_of(network.activation(layer))[0, unit].max())
    tiles = [(f"activation {figure(peak)}" + (": silent" if peak <= 0 else ""), to_rgb(view))]
    for method in METHODS:
        (found,) = highlight(
            network,
            model.preprocess([view]),
            [start],
            method,
            composite=model.composite(),
            bounds=model.bounds,
        )
        drawn = highlight_picture(found[0], method, model.description.input.colour)
        tiles.append((method.replace("-", " "), to_rgb(drawn)))
    return gallery.sheet(tiles, 3)


# ---- HTML ------------------------------------------------------------------------------------------------------------


def unit_page(store: Store, unit: Unit) -> str:
    """A unit's sheet as a page of its own."""
    view = unit_view(store, unit)
    return printable(
        _template("unit.html.j2").render(view, unit=unit, bars=_bars(unit), about=store.about, source=store.source)
    )


def unit_view(store: Store, unit: Unit) -> dict[str, Any]:
    """A unit's sheet as plain data, pictures as addresses inside a page: for pages of any kind."""
    classes = _classes(store)
    return {
        "title": title_of(store, unit.layer, unit),
        "name": unit.name,
        "evidence": unit.evidence,
        "facts": facts_of(unit),
        "rows": [
            {
                "kind": kind,
                "heading": HEADINGS[kind][0],
                "note": HEADINGS[kind][1],
                "tiles": [_tile(each, classes) for each in examples],
                "method": examples[0].method,
            }
            for kind, examples in unit.examples.items()
            if examples
        ],
        "stimuli": [
            {
                "picture": data_uri(each.picture),
                "recipe": each.recipe,
                "sign": each.sign,
                "activation": each.activation,
                "best": each.best,
                "shifted": each.shifted,
                "fragile": each.is_fragile,
                "small": max(each.picture.shape[:2]) < _SMALL,
            }
            for each in unit.stimuli
        ],
        "source": store.source,
    }


def layer_page(store: Store, layer: str) -> str:
    """All units of a layer as a page of its own; each by the crops of its top pictures."""
    units = store.units(layer, range(store.layers[layer]), crops=False)
    kind = _best_kind(units)
    strips = store.strips(layer, kind)
    return printable(
        _template("layer.html.j2").render(
            title=title_of(store, layer),
            units=[
                {
                    "unit": unit,
                    "strip": strip,
                    "title": "; ".join(f"{name} {value}" for name, value in facts_of(unit)),
                }
                for unit, strip in zip(units, strips, strict=True)
            ],
            crops=max((len(unit.examples.get(kind, ())) for unit in units), default=1),
            dead=sum(unit.dead for unit in units),
            size=units[-1].size,
            small=max(units[-1].size) < _SMALL,
            about=store.about,
            source=store.source,
        )
    )


def _tile(example: Example, classes: Sequence[str]) -> dict[str, Any]:
    crop = example.crop
    return {
        "picture": None if crop is None else data_uri(crop),
        "highlight": None if example.highlight is None else data_uri(example.highlight),
        "small": crop is not None and max(crop.shape[:2]) < _SMALL,
        "id": example.id,
        "label": _label(example, classes),
        "value": example.value,
        "place": example.place,
    }


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=PackageLoader("rationale.units", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure
    environment.filters["percent"] = percent
    return environment.get_template(name)


def _classes(store: Store) -> list[str]:
    return [str(each) for each in json.loads(str(store.about.get("classes", "[]")))]


def _label(example: Example, classes: Sequence[str]) -> str:
    return classes[example.label] if 0 <= example.label < len(classes) else ""


def _best_kind(units: Sequence[Unit]) -> str:
    return next((kind for kind in KINDS if any(unit.examples.get(kind) for unit in units)), "top")


def _bars(unit: Unit) -> list[float]:
    """Heights of the histogram's bars, 0 … 100, by the square root, so that rare strong ones are seen."""
    most = max(1, int(unit.histogram.max()))
    return [100 * float(np.sqrt(each / most)) for each in unit.histogram.tolist()]


# ---- PNG -------------------------------------------------------------------------------------------------------------


def unit_picture(store: Store, unit: Unit) -> Pixels:
    """A unit's sheet as one picture, uint8 (H, W, 3)."""
    classes = _classes(store)
    rows = [(kind, examples) for kind, examples in unit.examples.items() if examples]
    tiles = max([len(examples) for _, examples in rows] + [len(unit.stimuli), 6])
    width = 2 * _PAD + tiles * (_TILE + _GAP) - _GAP
    page = _Page(width)
    page.text(title_of(store, unit.layer, unit), 15, SOFT, 22)
    page.text(f"{unit.name}, unit {unit.number}" if unit.name else f"unit {unit.number}", 30, INK, 42)
    if unit.evidence:
        page.text(unit.evidence, 14, SOFT, 24)
    facts = facts_of(unit)
    page.facts(facts, unit)
    if unit.stimuli:
        page.heading(
            "Preferred stimuli", "made by gradient ascent; below, activation, and that of the best real picture"
        )
        page.tiles(
            [each.picture for each in unit.stimuli],
            [f"{each.recipe}{' (least)' if each.sign < 0 else ''}" for each in unit.stimuli],
            [
                f"{figure(each.activation)} ({figure(each.best)})" + (", only here" if each.is_fragile else "")
                for each in unit.stimuli
            ],
        )
    for kind, examples in rows:
        page.heading(*HEADINGS[kind])
        page.tiles(
            [each.crop for each in examples],
            [_label(each, classes) or each.id for each in examples],
            [("+" if kind == "relevant" else "") + figure(each.value) for each in examples],
            [each.highlight for each in examples],
        )
    return page.drawn(f"pictures: {store.source}")


def layer_picture(store: Store, layer: str, most: int = 4) -> Pixels:
    """All units of a layer, each by its best crops, with number and name, uint8 (H, W, 3)."""
    units = store.units(layer, range(store.layers[layer]))
    kind = _best_kind(units)
    most = max(1, min(most, max((len(unit.examples.get(kind, ())) for unit in units), default=1)))
    step = most * (_SMALL + 2) + 18
    columns = max(2, min(6, 1240 // step))
    page = _Page(2 * _PAD + columns * step - 18)
    page.text(title_of(store, layer), 15, SOFT, 22)
    page.text(f"{len(units)} units", 30, INK, 42)
    dead = sum(unit.dead for unit in units)
    height, width = units[-1].size
    sees = f"each sees up to {height} × {width} pixels"
    page.text(f"{HEADINGS[kind][0].lower()}; {sees}" + (f"; {dead} dead" if dead else ""), 14, SOFT, 34)
    for start in range(0, len(units), columns):
        page.small_row(units[start : start + columns], kind, most, step)
    return page.drawn(f"pictures: {store.source}")


class _Page:
    """A picture that grows downwards."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._y = _PAD
        self._canvas = Image.new("RGB", (width, 400), "white")
        self._draw = ImageDraw.Draw(self._canvas)

    def text(self, text: str, size: int, colour: tuple[int, int, int], step: int, x: int = _PAD) -> None:
        """One line, cut where the page ends."""
        self._room(step)
        self._line((x, self._y), text, size, colour, self.width - x - _PAD)
        self._y += step

    def heading(self, heading: str, note: str) -> None:
        """A row's heading."""
        self._y += 14
        self._room(34)
        self._draw.line((_PAD, self._y, self.width - _PAD, self._y), fill=LINE)
        self._y += 12
        self._line((_PAD, self._y), heading, 16, INK, self.width)
        left = _PAD + _font(16).getlength(heading) + 12
        self._line((left, self._y + 2), note, 14, SOFT, self.width - _PAD - left)
        self._y += 30

    def facts(self, facts: Sequence[tuple[str, str]], unit: Unit) -> None:
        """Names and values, the histogram beside them."""
        top = self._y + 6
        self._room(len(facts) * 22 + 80)
        for name, value in facts:
            self._line((_PAD, top), name, 14, SOFT, 90)
            self._line((_PAD + 90, top), value, 14, INK, self.width - 260 - _PAD)
            top += 22
        left, base = self.width - _PAD - 192, self._y + 66
        for place, height in enumerate(_bars(unit)):
            if height:
                x = left + place * 6
                self._draw.rectangle((x, base - max(1, height * 0.56), x + 4, base), fill=BAR)
        self._draw.line((left, base + 1, left + 191, base + 1), fill=SOFT)
        for x, text, anchor in ((left, figure(unit.least), "la"), (left + 191, figure(unit.greatest), "ra")):
            self._draw.text((x, base + 6), _plain(text), fill=SOFT, font=_font(12), anchor=anchor)
        self._y = max(top, base + 24)

    def tiles(
        self,
        pictures: Sequence[Pixels | None],
        above: Sequence[str],
        below: Sequence[str],
        lower: Sequence[Pixels | None] = (),
    ) -> None:
        """Pictures in a row, over what excites the unit in them where that is known, and two captions."""
        first, second = [_fitted(each) for each in pictures], [_fitted(each) for each in lower]
        heights = [max((each.height for each in row if each is not None), default=0) for row in (first, second)]
        needed = heights[0] + (heights[1] + 4 if heights[1] else 0) + 48
        self._room(needed)
        for at, label in enumerate(above):
            x, y = _PAD + at * (_TILE + _GAP), self._y
            for row, height in zip((first, second), heights, strict=True):
                picture = row[at] if at < len(row) else None
                if picture is not None:
                    left = x + (_TILE - picture.width) // 2
                    self._canvas.paste(picture, (left, y))
                    self._draw.rectangle((left - 1, y - 1, left + picture.width, y + picture.height), outline=LINE)
                y += height + 4 if height else 0
            self._line((x, y + 2), label, 13, SOFT, _TILE)
            self._line((x, y + 18), below[at], 13, INK, _TILE)
        self._y += needed

    def small_row(self, units: Sequence[Unit], kind: str, most: int, step: int) -> None:
        """Units side by side, each by some crops."""
        drawn = [[_fitted(each.crop, _SMALL) for each in unit.examples.get(kind, ())[:most]] for unit in units]
        tall = max((each.height for row in drawn for each in row if each is not None), default=_SMALL // 2)
        self._room(tall + 34)
        for at, (unit, row) in enumerate(zip(units, drawn, strict=True)):
            x = _PAD + at * step
            self._line((x, self._y), str(unit.number), 13, INK, 40)
            shown = unit.name or ("dead" if unit.dead else "")
            self._line((x + 34, self._y), shown, 13, SOFT, step - 52)
            for place, crop in enumerate(row):
                if crop is not None:
                    self._canvas.paste(crop, (x + place * (_SMALL + 2), self._y + 18))
        self._y += tall + 34

    def drawn(self, source: str) -> Pixels:
        """The page, with where its pictures are from."""
        self._y += 8
        self.text(source, 12, SOFT, 20)
        return np.array(self._canvas.crop((0, 0, self.width, self._y + _PAD - 10)))

    def _room(self, needed: int) -> None:
        if self._y + needed + 60 > self._canvas.height:
            taller = Image.new("RGB", (self.width, 2 * self._canvas.height + needed), "white")
            taller.paste(self._canvas, (0, 0))
            self._canvas, self._draw = taller, ImageDraw.Draw(taller)

    def _line(self, at: tuple[float, float], text: str, size: int, colour: tuple[int, int, int], width: float) -> None:
        text, font = _plain(text), _font(size)
        while font.getlength(text) > width and len(text) > 3:
            text = text[:-4] + "..."
        self._draw.text(at, text, fill=colour, font=font)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _plain(text: str) -> str:
    """Without what Pillow's own font has no shape for."""
    for shape, instead in {"×": "x", "−": "-", "·": "/", "…": "...", "≤": "<=", "“": '"', "”": '"', "’": "'"}.items():
        text = text.replace(shape, instead)
    return text


def _fitted(picture: Pixels | None, side: int = _TILE) -> Image.Image | None:
    """As large as a tile: small crops in whole steps, with sharp pixels, larger ones smoothly."""
    if picture is None:
        return None
    image = Image.fromarray(to_rgb(picture))
    scale = side / max(image.size)
    if scale >= 2:
        whole = int(scale)
        return image.resize((image.width * whole, image.height * whole), Image.Resampling.NEAREST)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)
