"""The HTML report: a self-contained page for one explained picture or several, and a light index of many."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import takewhile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from jinja2 import Template
from markupsafe import Markup, escape

from rationale.explanation.units import units_view
from rationale.render.colours import PART_COLOURS, symmetric_scale
from rationale.render.numbers import amount, headline, number, percent, said, signed
from rationale.render.pictures import SMALL, Map, data_uri, jpeg_uri, map_png, outlines_picture, overlay_picture
from rationale.render.templates import page_template
from rationale.resources import printable

if TYPE_CHECKING:
    from rationale.explanation.accounts import Account
    from rationale.explanation.explanation import Explanation
    from rationale.explanation.words import Word

SHOWN_CLASSES = 5
SHOWN_CHANNELS = 6
MOST_LABELS = 20  # that are true of one picture
FEW_LAYERS = 8  # are all shown at once; of more, the topmost of each size, at most
FIRST_LAYERS = 6
LIGHT_WORDS = 8  # with a heatmap in a notebook
MOST_GROUPS = 12  # classes by which an index of many pictures can be narrowed


Part = Mapping[str, Any]  # what the template wants to know of one picture; see `draw`


def render_report(
    parts: Sequence[Part], title: str = "Rationale", fragment: bool = False, home: str | None = None
) -> str:
    """The page as a string; with `fragment` only the part that a notebook embeds; `home` links to an index above."""
    numbered = [{**part, "id": f"picture-{number + 1}"} for number, part in enumerate(parts)]
    settings = _shared_settings(parts)
    page = _template("report.html.j2")
    return printable(page.render(title=title, parts=numbered, settings=settings, fragment=fragment, home=home))


def render_index(explained: Sequence[tuple[Mapping[str, Any], str]], title: str) -> str:
    """A page that shows many explained pictures and leads to the report on each.

    Args:
        explained: of each picture what its explanation.json holds, and the folder of its results, seen from the page.
        title: the heading.
    """
    cards = [_card(found, folder) for found, folder in explained]
    counts = Counter(card["group"] for card in cards)
    groups = counts.most_common() if 1 < len(counts) <= MOST_GROUPS else []
    settings = list(explained[0][0]["settings"].items()) if explained else []
    page = _template("index.html.j2")
    return printable(page.render(title=title, cards=cards, groups=groups, settings=settings))


def _card(found: Mapping[str, Any], folder: str) -> dict[str, Any]:
    kind = "value" if found["meaning"] == "values" else "probability"
    classes = [(each["label"], each[kind]) for each in found["classes"]]
    told = headline(found["meaning"], classes)
    return {
        "name": found["picture"],
        "headline": re.sub(r"(?<=[<>]) | (?=%)", "\N{NO-BREAK SPACE}", told),
        "group": found["label"],
        "sureness": classes[0][1],
        "sentence": found["sentence"],
        "place": "/".join(quote(step) for step in folder.split("/")),
        "pixelated": max(found["size"]) < SMALL,
    }


@cache
def _template(name: str) -> Template:
    return page_template("rationale.explanation", name, signed, amount, number, percent, breakable)


def breakable(name: str) -> Markup:
    """A name that may go on in the next line behind its signs, and so never breaks within a word."""
    return Markup(re.sub(r"([/\\_.:-])(?=\w)", r"\1<wbr>", str(escape(name))))


def _shared_settings(parts: Sequence[Part]) -> list[tuple[str, str]]:
    """Settings that are the same for every picture."""
    if not parts:
        return []
    return [pair for pair in parts[0]["settings"] if all(pair in part["settings"] for part in parts)]


def draw(explanation: "Explanation", light: bool = False) -> Part:
    """Draws the pictures of an explanation, so that its maps need not be kept.

    With `light`, for a notebook that keeps its output: without the layers and contrasts of words.
    """
    photo = data_uri if explanation.is_small else jpeg_uri
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
        "sentence": _pieces(explanation, colours, light=light),
        "words": _word_views(explanation, light=light),
        "why_not": _why_not_view(explanation),
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
        "photo": photo(explanation.image),
        "heatmap": data_uri(map_png(heatmap, scale)),
        "overlay": photo(overlay_picture(explanation.image, heatmap, scale)),
        "scale": scale if heatmap.any() else 0.0,
        "pixelated": explanation.is_small,
        "accounts": [_account_view(account, score) for account in explanation.ledger],
        **(_layers(explanation) if not light else {"first_layers": [], "other_layers": []}),
        "remark": explanation.remark,
        "units": units_view(explanation.image, explanation.unit_evidence) if not light else None,
        "absorbed": sum(account.bias + account.stabiliser for account in explanation.ledger),
        "arrived": float(heatmap.sum(dtype=np.float64)),
    }


def _pieces(explanation: "Explanation", colours: Mapping[str, str], *, light: bool) -> list[dict[str, Any]]:
    """The sentence in pieces, each with the part that it names, and the texts in it with the number of their word."""
    places = {explanation.words[row].place: row for row in _words_to_look_at(explanation, light=light)}
    found, at = [], 0
    for text, part in explanation.sentence_pieces():
        inner: list[tuple[str, int | None]] = []
        done = at
        for (start, end), row in sorted(places.items()):
            if at <= start and end <= at + len(text):
                inner += [(text[done - at : start - at], None), (text[start - at : end - at], row)]
                done = end
        inner.append((text[done - at :], None))
        texts = [each for each in inner if each[0]]
        found.append({"text": text, "part": part, "colour": colours.get(part or ""), "inner": texts})
        at += len(text)
    return found


def _word_views(explanation: "Explanation", *, light: bool) -> dict[int, dict[str, Any]]:
    """What is shown of each content word, by its number; with `light` without contrasts, large maps smaller still."""
    rows = _words_to_look_at(explanation, light=light)
    return {row: _word_view(explanation.words[row], light=light) for row in rows}


def _words_to_look_at(explanation: "Explanation", *, light: bool) -> list[int]:
    """Content words by their number; with `light` only those with which the picture had most to do."""
    content = [row for row, word in enumerate(explanation.words) if word.is_content]
    ranked = sorted(content, key=lambda row: -abs(explanation.words[row].fall))
    return sorted(ranked[:LIGHT_WORDS] if light else ranked)


def _word_view(word: "Word", *, light: bool) -> dict[str, Any]:
    small = _halved(_halved(word.heatmap)) if light else _halved(word.heatmap)
    scale = symmetric_scale(small)
    return {
        "text": word.text,
        "against": word.against,
        "map": data_uri(map_png(small, scale)),
        "scale": scale if small.any() else 0.0,
        "probability": word.probability,
        "fall": word.fall,
        "score": word.score,
        "shares": [(name, share) for name, share in word.shares.items()],
        "contrast": _word_view(word.contrast, light=False) if word.contrast is not None and not light else None,
    }


def _why_not_view(explanation: "Explanation") -> dict[str, Any] | None:
    """The section on another class; None where none was asked for."""
    found = explanation.why_not
    if found is None:
        return None
    scale = symmetric_scale(found.heatmap)
    return {
        **found.as_dict(),
        "differences": found.differences,
        "map": data_uri(map_png(found.heatmap, scale)),
        "scale": scale if found.heatmap.any() else 0.0,
    }


def _halved(heatmap: Map) -> Map:
    """Sums over 2 × 2 pixels of a large heatmap, a quarter to carry; a small one as it is."""
    height, width = (side // 2 * 2 for side in heatmap.shape)
    if max(heatmap.shape) < SMALL:
        return heatmap
    return np.asarray(heatmap[:height, :width].reshape(height // 2, 2, width // 2, 2).sum(axis=(1, 3)))


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
    return {"row": vars(account), "width": 100 * share}


def _layers(explanation: "Explanation") -> dict[str, list[dict[str, object]]]:
    """Views of the layers under the score: those to see first, and all others; each from the top down."""
    below_score = [account.layer for account in explanation.ledger][1:]
    layers = {name: maps for name, maps in explanation.relevance.items() if name in below_score}
    first = list(layers) if len(layers) <= FEW_LAYERS else _topmost_of_each_size(layers)
    of_classes = takewhile(lambda name: len(layers[name]) == len(explanation.labels), layers)
    labels = dict.fromkeys(of_classes, explanation.labels)
    views = {name: _layer_view(name, maps, labels.get(name)) for name, maps in layers.items()}
    return {
        "first_layers": [views[name] for name in first],
        "other_layers": [view for name, view in views.items() if name not in first],
    }


def _topmost_of_each_size(layers: Mapping[str, Map]) -> list[str]:
    """Of each size of map the topmost layer: where one stage of the network hands over to the next."""
    topmost: dict[tuple[int, ...], str] = {}
    for name, maps in layers.items():
        topmost.setdefault(maps.shape[1:], name)
    return list(topmost.values())[:FIRST_LAYERS]


def _layer_view(name: str, maps: Map, labels: Sequence[str] | None) -> dict[str, object]:
    """Channels of a layer: the whole distribution as bars, and the strongest few with their maps, side by side.

    `labels` are the classes, where each channel is one.
    """
    totals = maps.reshape(len(maps), -1).sum(axis=1)
    strongest = np.argsort(-np.abs(totals), kind="stable")[:SHOWN_CHANNELS]
    strongest = strongest[: max(1, int(np.count_nonzero(totals[strongest])))]  # what carried nothing says nothing
    spatial = maps.shape[1:] != (1, 1) and bool(totals[strongest].any())
    scale = symmetric_scale(maps[strongest])
    return {
        "name": name,
        "count": len(totals),
        "bars": len(bars := _bars(np.sort(totals)[::-1])),
        "drawn_bars": [(sign, path) for sign in ("for", "against") if (path := _path(bars, sign))],
        "scale": scale if spatial else None,
        "maps": data_uri(map_png(np.hstack(list(maps[strongest])), scale)) if spatial else None,
        "ratio": maps.shape[2] / maps.shape[1],
        "strongest": [
            {
                "channel": int(channel),
                "name": labels[channel] if labels else f"#{channel}",
                "total": float(totals[channel]),
                "at": 100 * place / max(1, len(strongest) - 1),
            }
            for place, channel in enumerate(strongest)
        ],
    }


def _bars(values: Map) -> Map:
    """Heights from −50 to 50 of one bar a channel, in the order given; at most 120 bars."""
    if len(values) > 120:  # group neighbours by their mean, so that the shape stays
        starts = np.arange(120) * len(values) // 120
        values = np.add.reduceat(values, starts) / np.diff(starts, append=len(values))
    return values / symmetric_scale(values) * 50


def _path(heights: Map, sign: str) -> str:
    """The bars of one sign as an SVG path, one unit wide each, upward or downward from a line at 50."""
    chosen = np.flatnonzero(heights > 0 if sign == "for" else heights < 0)
    return "".join(f"M{place} 50v{-heights[place]:.3g}h.84V50" for place in chosen)
