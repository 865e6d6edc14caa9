"""The HTML report: one self-contained page for any number of explained pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from numpy.typing import NDArray

from rationale.images import Pixels
from rationale.render.colours import diverging, symmetric_scale
from rationale.render.pictures import Map, data_uri, heatmap_picture, outlines_picture, overlay_picture
from rationale.resources import printable

SHOWN_CLASSES = 5
# Of phrases and of the outlines of what they name: apart from relevance's red and blue, and from each other to
# colour-blind eyes (after Okabe and Ito).
PART_COLOURS = ("#e08a00", "#00835f", "#b0509b", "#5d6b00", "#7a4fd0", "#8a5a2b")
SHOWN_CHANNELS = 6
MOST_LABELS = 20  # that are true of one picture


@dataclass(frozen=True)
class Account:
    """One layer's row in the conservation table, all amounts in units of the score."""

    layer: str
    type: str
    rule: str
    received: float
    passed_on: float
    bias: float
    stabiliser: float
    residual: float


@dataclass(frozen=True)
class LayerView:
    """Relevance of one layer, float32 (C, H, W)."""

    name: str
    relevance: Map


@dataclass(frozen=True)
class Card:
    """What the report shows of one picture."""

    name: str
    photo: Pixels
    heatmap: Map
    label: str
    meaning: str  # of the numbers in `classes`: "classes", "labels" or "values"
    target: str
    score: float
    classes: Sequence[tuple[str, float]]  # label and probability or value, the greatest first
    accounts: Sequence[Account]
    layers: Sequence[LayerView]
    settings: Sequence[tuple[str, str]]
    sentence: Sequence[tuple[str, str | None]] = ()  # pieces of text, each with the part of the picture that it names
    others: Sequence[tuple[str, float]] = ()  # other sentences and their probability
    regions: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    consistency: float | None = None


Part = Mapping[str, Any]  # what the template wants to know of one picture; see `draw`


def render_report(parts: Sequence[Part], title: str = "Rationale", fragment: bool = False) -> str:
    """The page as a string; with `fragment` only the part that a notebook embeds."""
    numbered = [{**part, "id": f"picture-{number + 1}"} for number, part in enumerate(parts)]
    settings = _shared_settings(parts)
    return printable(_template().render(title=title, parts=numbered, settings=settings, fragment=fragment))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("rationale.render", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    environment.filters["amount"] = amount
    environment.filters["number"] = number
    environment.filters["percent"] = percent
    return environment.get_template("report.html.j2")


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign and that many significant digits; a true minus."""
    return f"{value:+.{digits}g}".replace("-", "−")


def number(value: float, digits: int = 4) -> str:
    """A number with that many significant digits; a true minus."""
    return f"{value:.{digits}g}".replace("-", "−")


def amount(value: float) -> str:
    """A number of the ledger: four decimals, so that a column lines up; tiny ones as powers of ten."""
    text = f"{value:+.4f}" if value == 0 or abs(value) >= 5e-5 else f"{value:+.0e}"
    return "0" if value == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """A share as a percentage that never claims certainty it does not have."""
    if 0.9995 <= share < 1:
        return "> 99.9 %"
    if 0 < share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def said(meaning: str, found: float) -> str:
    """A probability or value as people read it."""
    return number(found, 3) if meaning == "values" else percent(found)


def headline(meaning: str, classes: Sequence[tuple[str, float]]) -> str:
    """What a network says in a few words; all labels that it holds to be true, where several can be."""
    (label, most), *_ = classes
    if meaning == "values":
        return f"{label} {said(meaning, most)}"
    true = [each for each in classes if each[1] >= 0.5] if meaning == "labels" else classes[:1]
    if true:
        return ", ".join(f"{label} ({percent(share)})" for label, share in true)
    return f"no label; most probable is {label} ({percent(most)})"


def _shared_settings(parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Settings that are the same for every picture."""
    if not parts:
        return []
    return [pair for pair in parts[0]["settings"] if all(pair in part["settings"] for part in parts)]


def draw(card: Card) -> Part:
    """Draws the pictures of a card, so that its maps need not be kept."""
    scale = symmetric_scale(card.heatmap)
    true = sum(share >= 0.5 for _, share in card.classes) if card.meaning == "labels" else 0
    shown = [*card.classes[: max(SHOWN_CLASSES, min(true, MOST_LABELS))]]
    if card.target not in (label for label, _ in shown):
        shown[-1] = (card.target, dict(card.classes)[card.target])
    most = max(abs(found) for _, found in shown) or 1.0
    return {
        "name": card.name,
        "headline": headline(card.meaning, card.classes),
        "label": card.label,
        "said": said(card.meaning, card.classes[0][1]),
        "meaning": card.meaning,
        "target": card.target,
        "target_said": said(card.meaning, dict(card.classes)[card.target]),
        "sentence": [
            {"text": text, "part": part, "colour": _named(card).get(part or "")} for text, part in card.sentence
        ],
        "others": card.others,
        "consistency": card.consistency,
        "outlines": _outlines(card),
        "score": card.score,
        "classes": [
            {
                "label": label,
                "said": said(card.meaning, found),
                "width": 100 * (abs(found) / most if card.meaning == "values" else found),
            }
            for label, found in shown
        ],
        "settings": list(card.settings),
        "photo": data_uri(card.photo),
        "heatmap": data_uri(heatmap_picture(card.heatmap, scale)),
        "overlay": data_uri(overlay_picture(card.photo, card.heatmap, scale)),
        "scale": scale if card.heatmap.any() else 0.0,
        "pixelated": max(card.photo.shape[:2]) < 100,
        "accounts": [_account_view(account, card.score) for account in card.accounts],
        "layers": [_layer_view(layer) for layer in card.layers],
        "absorbed": sum(account.bias + account.stabiliser for account in card.accounts),
        "arrived": float(card.heatmap.sum(dtype=np.float64)),
    }


def _named(card: Card) -> dict[str, str]:
    """The colour of each part that the sentence names and whose region is known."""
    named = [part for _, part in card.sentence if part is not None and part in card.regions]
    return dict(zip(dict.fromkeys(named), PART_COLOURS, strict=False))


def _outlines(card: Card) -> str | None:
    """The outlines of the parts that the sentence names, each in the colour of its phrase, to lay over the photo."""
    colours = _named(card)
    return data_uri(outlines_picture({part: card.regions[part] for part in colours}, colours)) if colours else None


def _account_view(account: Account, score: float) -> dict[str, object]:
    """The row and the width of its bar, in percent of the score."""
    share = min(1.0, abs(account.passed_on / score)) if score else 0.0
    return {"row": account, "width": 100 * share}


def _layer_view(layer: LayerView) -> dict[str, object]:
    """Channels of a layer: the whole distribution as bars, and the strongest few with their maps."""
    totals = layer.relevance.reshape(len(layer.relevance), -1).sum(axis=1)
    strongest = np.argsort(-np.abs(totals), kind="stable")[:SHOWN_CHANNELS]
    strongest = strongest[: max(1, int(np.count_nonzero(totals[strongest])))]  # what carried nothing says nothing
    spatial = layer.relevance.shape[1:] != (1, 1)
    scale = symmetric_scale(layer.relevance[strongest])
    return {
        "name": layer.name,
        "count": len(totals),
        "bars": _bars(np.sort(totals)[::-1]),
        "scale": scale if spatial and layer.relevance.any() else None,
        "strongest": [
            {
                "channel": int(channel),
                "total": float(totals[channel]),
                "map": data_uri(diverging(layer.relevance[channel], scale)) if spatial else None,
            }
            for channel in strongest
        ],
    }


def _bars(values: Map) -> list[tuple[float, float, float, str]]:
    """x, y, height (0…100, zero line at 50) and sign of one bar a channel, most positive first; at most 120 bars."""
    if len(values) > 120:  # group neighbours by their mean, so that the shape stays
        values = np.array([group.mean() for group in np.array_split(values, 120)])
    scale = symmetric_scale(values)
    heights = np.abs(values) / scale * 50
    return [
        (float(place), float(50 - height if value >= 0 else 50), float(height), "for" if value >= 0 else "against")
        for place, (value, height) in enumerate(zip(values, heights, strict=True))
    ]
