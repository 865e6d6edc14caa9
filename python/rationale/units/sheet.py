"""Sheets: one unit with all that is known of it, or all units of a layer at a glance, as pages."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Template

from rationale.render.numbers import number, percent
from rationale.render.pictures import data_uri
from rationale.render.templates import page_template
from rationale.resources import printable
from rationale.units.store import KINDS, Example, Store, Unit

SMALL = 56  # a tile of a layer's sheet

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


def unit_page(store: Store, unit: Unit) -> str:
    """A unit's sheet as a page of its own."""
    view = unit_view(store, unit)
    return printable(
        _template("unit.html.j2").render(view, unit=unit, bars=bars_of(unit), about=store.about, source=store.source)
    )


def unit_view(store: Store, unit: Unit) -> dict[str, Any]:
    """A unit's sheet as plain data, pictures as addresses inside a page: for pages of any kind."""
    classes = classes_of(store)
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
                "small": max(each.picture.shape[:2]) < SMALL,
            }
            for each in unit.stimuli
        ],
        "source": store.source,
    }


def layer_page(store: Store, layer: str) -> str:
    """All units of a layer as a page of its own; each by the crops of its top pictures."""
    units = store.units(layer, range(store.layers[layer]), crops=False)
    kind = best_kind(units)
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
            small=max(units[-1].size) < SMALL,
            about=store.about,
            source=store.source,
        )
    )


def _tile(example: Example, classes: Sequence[str]) -> dict[str, Any]:
    crop = example.crop
    return {
        "picture": None if crop is None else data_uri(crop),
        "highlight": None if example.highlight is None else data_uri(example.highlight),
        "small": crop is not None and max(crop.shape[:2]) < SMALL,
        "id": example.id,
        "label": label_of(example, classes),
        "value": example.value,
        "place": example.place,
    }


@cache
def _template(name: str) -> Template:
    return page_template("rationale.units", name, figure, percent)


def classes_of(store: Store) -> list[str]:
    """Names of the classes whose numbers examples bear."""
    return [str(each) for each in json.loads(str(store.about.get("classes", "[]")))]


def label_of(example: Example, classes: Sequence[str]) -> str:
    """The example's class by name; empty where it has none."""
    return classes[example.label] if 0 <= example.label < len(classes) else ""


def best_kind(units: Sequence[Unit]) -> str:
    """The kind of pictures by which units are shown at a glance: the first that there are."""
    return next((kind for kind in KINDS if any(unit.examples.get(kind) for unit in units)), "top")


def bars_of(unit: Unit) -> list[float]:
    """Heights of the histogram's bars, 0 … 100, by the square root, so that rare strong ones are seen."""
    most = max(1, int(unit.histogram.max()))
    return [100 * float(np.sqrt(each / most)) for each in unit.histogram.tolist()]
