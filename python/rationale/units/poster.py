"""Sheets as one picture each: a unit, all units of a layer, or what of one picture excites a unit."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from rationale.images import Pixels, to_rgb
from rationale.model import Model
from rationale.render import gallery
from rationale.render.fonts import font, plain, write
from rationale.units.highlight import METHODS, STRONGEST, From, Place, highlight, highlight_picture
from rationale.units.layers import maps_of
from rationale.units.sheet import HEADINGS, SMALL, bars_of, best_kind, classes_of, facts_of, figure, label_of, title_of
from rationale.units.store import Store, Unit

INK, SOFT, LINE, BAR = (28, 31, 36), (91, 100, 112), (227, 230, 234), (138, 148, 160)
_TILE, _GAP, _PAD = 112, 12, 28


def unit_picture(store: Store, unit: Unit) -> Pixels:
    """A unit's sheet as one picture, uint8 (H, W, 3)."""
    classes = classes_of(store)
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
            [label_of(each, classes) or each.id for each in examples],
            [("+" if kind == "relevant" else "") + figure(each.value) for each in examples],
            [each.highlight for each in examples],
        )
    return page.drawn(f"pictures: {store.source}")


def layer_picture(store: Store, layer: str, most: int = 4) -> Pixels:
    """All units of a layer, each by its best crops, with number and name, uint8 (H, W, 3)."""
    units = store.units(layer, range(store.layers[layer]))
    kind = best_kind(units)
    most = max(1, min(most, max((len(unit.examples.get(kind, ())) for unit in units), default=1)))
    step = most * (SMALL + 2) + 18
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
        left = _PAD + font(16, heading).getlength(heading) + 12
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
        for place, height in enumerate(bars_of(unit)):
            if height:
                x = left + place * 6
                self._draw.rectangle((x, base - max(1, height * 0.56), x + 4, base), fill=BAR)
        self._draw.line((left, base + 1, left + 191, base + 1), fill=SOFT)
        for x, text, anchor in ((left, figure(unit.least), "la"), (left + 191, figure(unit.greatest), "ra")):
            write(self._draw, (x, base + 6), text, 12, SOFT, anchor)
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
        drawn = [[_fitted(each.crop, SMALL) for each in unit.examples.get(kind, ())[:most]] for unit in units]
        tall = max((each.height for row in drawn for each in row if each is not None), default=SMALL // 2)
        self._room(tall + 34)
        for at, (unit, row) in enumerate(zip(units, drawn, strict=True)):
            x = _PAD + at * step
            self._line((x, self._y), str(unit.number), 13, INK, 40)
            shown = unit.name or ("dead" if unit.dead else "")
            self._line((x + 34, self._y), shown, 13, SOFT, step - 52)
            for place, crop in enumerate(row):
                if crop is not None:
                    self._canvas.paste(crop, (x + place * (SMALL + 2), self._y + 18))
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
        text = plain(text)
        letters = font(size, text)
        while letters.getlength(text) > width and len(text) > 3:
            text = text[:-4] + "..."
        self._draw.text(at, text, fill=colour, font=letters)


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
