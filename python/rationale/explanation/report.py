"""The HTML report: one self-contained page for any number of explained pictures."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from rationale.render.colours import PART_COLOURS, diverging, symmetric_scale
from rationale.render.numbers import amount, number, percent, said, signed
from rationale.render.pictures import Map, data_uri, heatmap_picture, outlines_picture, overlay_picture
from rationale.resources import printable

if TYPE_CHECKING:
    from rationale.explanation.explanation import Account, Explanation

SHOWN_CLASSES = 5
SHOWN_CHANNELS = 6
MOST_LABELS = 20  # that are true of one picture


Part = Mapping[str, Any]  # what the template wants to know of one picture; see `draw`


def render_report(parts: Sequence[Part], title: str = "Rationale", fragment: bool = False) -> str:
    """The page as a string; with `fragment` only the part that a notebook embeds."""
    numbered = [{**part, "id": f"picture-{number + 1}"} for number, part in enumerate(parts)]
    settings = _shared_settings(parts)
    return printable(_template().render(title=title, parts=numbered, settings=settings, fragment=fragment))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("rationale.explanation", ""),
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


def _shared_settings(parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Settings that are the same for every picture."""
    if not parts:
        return []
    return [pair for pair in parts[0]["settings"] if all(pair in part["settings"] for part in parts)]


def draw(explanation: "Explanation") -> Part:
    """Draws the pictures of an explanation, so that its maps need not be kept."""
    meaning, score, heatmap = explanation.meaning, explanation.score, explanation.heatmap
    scale = symmetric_scale(heatmap)
    classes = explanation.classes
    true = sum(share >= 0.5 for _, share in classes) if meaning == "labels" else 0
    shown = [*classes[: max(SHOWN_CLASSES, min(true, MOST_LABELS))]]
    target = explanation.target
    if target not in (label for label, _ in shown):
        shown[-1] = (target, dict(classes)[target])
    most = max(abs(found) for _, found in shown) or 1.0
    colours = _named(explanation)
    below_score = [account.layer for account in explanation.ledger][1:]
    return {
        "name": explanation.name,
        "headline": explanation.headline,
        "label": explanation.label,
        "said": said(meaning, classes[0][1]),
        "meaning": meaning,
        "target": target,
        "against": explanation.against,
        "explained": target if explanation.against is None else f"{target} rather than {explanation.against}",
        "target_said": said(meaning, dict(classes)[target]),
        "sentence": [
            {"text": text, "part": part, "colour": colours.get(part or "")}
            for text, part in explanation.sentence_pieces()
        ],
        "others": [(each.text, each.probability) for each in explanation.sentences[1:]],
        "consistency": explanation.consistency,
        "outlines": _outlines(explanation, colours),
        "score": score,
        "classes": [
            {
                "label": label,
                "said": said(meaning, found),
                "width": 100 * (abs(found) / most if meaning == "values" else found),
            }
            for label, found in shown
        ],
        "settings": list(explanation.settings.items()),
        "photo": data_uri(explanation.image),
        "heatmap": data_uri(heatmap_picture(heatmap, scale)),
        "overlay": data_uri(overlay_picture(explanation.image, heatmap, scale)),
        "scale": scale if heatmap.any() else 0.0,
        "pixelated": max(explanation.image.shape[:2]) < 100,
        "accounts": [_account_view(account, score) for account in explanation.ledger],
        "layers": [_layer_view(name, maps) for name, maps in explanation.relevance.items() if name in below_score],
        "absorbed": sum(account.bias + account.stabiliser for account in explanation.ledger),
        "arrived": float(heatmap.sum(dtype=np.float64)),
    }


def _named(explanation: "Explanation") -> dict[str, str]:
    """The colour of each part that the sentence names and whose region is known."""
    named = [part for _, part in explanation.sentence_pieces() if part is not None and part in explanation.regions]
    return dict(zip(dict.fromkeys(named), PART_COLOURS, strict=False))


def _outlines(explanation: "Explanation", colours: Mapping[str, str]) -> str | None:
    """The outlines of the parts that the sentence names, each in the colour of its phrase, to lay over the photo."""
    regions = {part: explanation.regions[part] for part in colours}
    return data_uri(outlines_picture(regions, colours)) if colours else None


def _account_view(account: "Account", score: float) -> dict[str, object]:
    """The row and the width of its bar, in percent of the score."""
    share = min(1.0, abs(account.passed_on / score)) if score else 0.0
    return {"row": account, "width": 100 * share}


def _layer_view(name: str, maps: Map) -> dict[str, object]:
    """Channels of a layer: the whole distribution as bars, and the strongest few with their maps."""
    totals = maps.reshape(len(maps), -1).sum(axis=1)
    strongest = np.argsort(-np.abs(totals), kind="stable")[:SHOWN_CHANNELS]
    strongest = strongest[: max(1, int(np.count_nonzero(totals[strongest])))]  # what carried nothing says nothing
    spatial = maps.shape[1:] != (1, 1)
    scale = symmetric_scale(maps[strongest])
    return {
        "name": name,
        "count": len(totals),
        "bars": _bars(np.sort(totals)[::-1]),
        "scale": scale if spatial and maps.any() else None,
        "strongest": [
            {
                "channel": int(channel),
                "total": float(totals[channel]),
                "map": data_uri(diverging(maps[channel], scale)) if spatial else None,
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
