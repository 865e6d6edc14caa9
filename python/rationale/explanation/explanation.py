"""Explanation: one decision explained, and how it is kept as pictures, data and a page."""

import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from rationale.consistency import consistency, part_densities
from rationale.errors import OutputError, RuleError
from rationale.explainer.explainer import Sentence
from rationale.explanation.accounts import Account, account_of
from rationale.explanation.report import Part, draw, render_report
from rationale.explanation.units import UnitEvidence, chain_picture
from rationale.explanation.why_not import WhyNot
from rationale.explanation.words import Word, as_datasets
from rationale.images import Pixels
from rationale.lrp import Relevance
from rationale.network import Outcome, kind
from rationale.render.colours import symmetric_scale
from rationale.render.numbers import headline, said
from rationale.render.pictures import SMALL, enlarge, heatmap_picture, overlay_picture, png_bytes, with_scale_bar
from rationale.resources import as_json, printable, write_whole
from rationale.version import __version__

Array = NDArray[np.float32]

FILES = ("heatmap.png", "overlay.png", "explanation.json", "explanation.h5", "report.html")
LAST = "explanation.json"  # is written when all others are there
# In a third of the time of gzip's usual level.
_PACKED: Any = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
UNITS_FILE = "units.png"
ALL_FILES = (*FILES, UNITS_FILE)


@dataclass(frozen=True)
class Channel:
    """One channel's part in a decision; `share` is its relevance as a share of the score's magnitude."""

    layer: str
    number: int
    relevance: float
    share: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a classifier decided as it did on one picture.

    Attributes:
        name: the picture's file name.
        image: what the network saw, uint8 (H, W) or (H, W, 3).
        label, index, probability: the predicted class, by name and number, and its probability; None for a network
            that gives none.
        target, target_index, score: the class that is explained (the one with the highest score unless asked otherwise)
            and its score f(x), before any Softmax or Sigmoid.
        labels: names of all classes, in the order of the scores.
        against, against_index: the class that it is contrasted with; None where it is explained by itself. With one,
            the score is the difference f(x) − f′(x) of the two classes' scores, and all relevance is of it.
        classes: every class with its probability, or value, the greatest first.
        heatmap: relevance of each pixel, float32 (H, W), colour channels summed.
        relevance: relevance at every layer, float32 (C, H, W), from the score down to the input.
        ledger: for every layer what it received, passed on, and what biases and stabiliser absorbed.
        settings: how the explanation was made.
        meaning: of the numbers in `classes`: "classes" (probabilities of which one is true), "labels" (probabilities
            each of its own) or "values".
        sentences: what can be said about it in English, the best first; empty for a model without an explainer.
        regions: bool (H, W) of each part that a sentence can name, where they are known.
        unit_evidence: what units did, by layer, where that was asked for (`rationale.units.decision.with_units`).
        words: those of the best sentence, each with its own heatmap; empty without a sentence, or unless asked for.
        why_not: why this class and not another, where that was asked for (`rationale.counterfactual.with_why_not`).
    """

    name: str
    image: Pixels
    label: str
    index: int
    probability: float | None
    target: str
    target_index: int
    score: float
    classes: Sequence[tuple[str, float]]
    heatmap: Array
    relevance: Mapping[str, Array]
    ledger: Sequence[Account]
    settings: Mapping[str, str]
    meaning: str = "classes"
    sentences: Sequence[Sentence] = ()
    regions: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    against: str | None = None
    against_index: int | None = None
    labels: Sequence[str] = ()
    unit_evidence: Mapping[str, Sequence[UnitEvidence]] = field(default_factory=dict)
    words: Sequence[Word] = ()
    why_not: WhyNot | None = None

    @property
    def is_small(self) -> bool:
        """Whether the picture has so few pixels that each is shown as a square."""
        return bool(max(self.image.shape[:2]) < SMALL)

    @property
    def remark(self) -> str | None:
        """What to know where the heatmap is empty: which layer kept all relevance, and by what."""
        if self.heatmap.any():
            return None
        stop = next((each for each in self.ledger if each.received and not each.passed_on), None)
        if stop is None:
            return "The score is 0: there is nothing to explain." if not self.score else "Nothing reached the pixels."
        if abs(stop.bias) + abs(stop.stabiliser) == 0:
            return f"Nothing reached the pixels: relevance for and against cancelled in layer {stop.layer}."
        kept = "biases" if abs(stop.bias) >= abs(stop.stabiliser) else "the stabiliser"
        return f"Nothing reached the pixels: {kept} of layer {stop.layer} kept all of it."

    @property
    def sentence(self) -> str | None:
        """The best sentence, or None."""
        return self.sentences[0].text if self.sentences else None

    def sentence_pieces(self) -> list[tuple[str, str | None]]:
        """The best sentence's text in pieces, each with the part of the picture that it names; empty without one."""
        return _pieces(self.sentences[0]) if self.sentences else []

    @cached_property
    def consistency(self) -> float | None:
        """Probability that a part which the sentence names carries denser relevance than one which it does not name.

        None where there is no sentence, the parts are unknown, or it names all of them or none.
        """
        if not self.sentences or not self.regions:
            return None
        return consistency(part_densities(self.heatmap, self.regions), self.sentences[0].parts)

    def channel_relevance(self, layer: str) -> Array:
        """Relevance of each channel of a layer, signed, float32 (C,).

        Raises:
            RuleError: relevance does not reach such a layer.
        """
        if layer not in self.relevance:
            raise RuleError(f"relevance was not kept at {layer!r}; there is {', '.join(self.relevance)}")
        maps = self.relevance[layer]
        return np.asarray(maps.reshape(len(maps), -1).sum(axis=1))

    def strongest_channels(self, count: int = 3, layer: str | None = None) -> list[Channel]:
        """The channels with the largest |relevance| in a layer; by default the topmost layer that keeps places."""
        layer = layer or self._topmost_map()
        totals = self.channel_relevance(layer)
        order = np.argsort(-np.abs(totals), kind="stable")[:count]
        share = 1 / abs(self.score) if self.score else 0.0
        return [Channel(layer, int(each), float(totals[each]), float(totals[each] * share)) for each in order]

    def units(self, layer: str | None = None, count: int = 5) -> list[UnitEvidence]:
        """The channels of a layer with the most relevance, by magnitude; by default of the topmost that keeps places.

        With activation, heatmap, name and pictures where `unit_evidence` has them.

        Raises:
            RuleError: relevance does not reach such a layer.
        """
        channels = self.strongest_channels(count, layer)
        known = {each.number: each for each in self.unit_evidence.get(channels[0].layer, ())} if channels else {}
        return [
            known.get(each.number) or UnitEvidence(each.layer, each.number, each.relevance, each.share)
            for each in channels
        ]

    def _topmost_map(self) -> str:
        """Name of the highest convolution whose output has more than one place; else of the layer under the score.

        Maps of the classes themselves, one each, are passed over: only the explained class's has relevance.
        """
        convolutions = [account.layer for account in self.ledger if kind(account.type).convolves]
        of_classes = {name for name in convolutions if len(self.relevance[name]) == len(self.classes)}
        own = [name for name in convolutions if name not in of_classes]
        names = [name for name in [*own, *self.relevance] if self.relevance[name][0].size > 1]
        return names[0] if names else next(iter(self.relevance))

    @property
    def target_probability(self) -> float | None:
        """Probability of the explained class; None for a network that gives none."""
        return None if self.meaning == "values" else dict(self.classes)[self.target]

    @property
    def headline(self) -> str:
        """What the network says in a few words: "airliner (97.0 %)", "smiling (97.0 %), young (80.1 %)", "age 31.4"."""
        return headline(self.meaning, self.classes)

    def save(
        self, folder: str | PathLike[str], title: str | None = None, *, full: bool = True, home: str | None = None
    ) -> list[Path]:
        """Writes heatmap.png, overlay.png, explanation.json, explanation.h5 and report.html; returns their paths.

        Each is written whole, explanation.json last.

        Args:
            folder: made where it is not there.
            title: heading of the report.
            full: keep relevance at every layer in explanation.h5; else that of the pixels and of each channel only, in
                a tenth of the space.
            home: address of a page about several pictures that the report leads back to.

        Raises:
            OutputError: the folder cannot be written.
        """
        place = Path(folder)
        scale = symmetric_scale(self.heatmap)
        heatmap = enlarge(heatmap_picture(self.heatmap, scale))
        overlay = enlarge(overlay_picture(self.image, self.heatmap, scale))
        make_folder(place)
        try:
            write_whole(place / "heatmap.png", png_bytes(with_scale_bar(heatmap, scale)))
            write_whole(place / "overlay.png", png_bytes(overlay))
            write_whole(place / "explanation.h5", self._hdf5(full))
            write_whole(place / "report.html", render_report([self.report_part()], title or self.name, home=home))
            if self.unit_evidence:
                write_whole(place / UNITS_FILE, png_bytes(self.chain()))
            # A line each: to be read by people, and made by the quick encoder, which knows no indentation.
            entries = [f"{as_json(key)}: {as_json(value)}" for key, value in self.as_dict().items()]
            write_whole(place / LAST, "{\n" + ",\n".join(entries) + "\n}\n")
        except OSError as error:
            raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error
        return [place / name for name in (*FILES, *([UNITS_FILE] if self.unit_evidence else []))]

    def chain(self) -> Pixels:
        """The way from the class over channels and channels below to the pixels as one picture, uint8 (H, W, 3)."""
        upper = next(iter(self.unit_evidence.values()), ())
        title = self.target if self.against is None else f"{self.target} rather than {self.against}"
        return chain_picture(self.image, self.heatmap, title, self.score, upper)

    def as_dict(self) -> dict[str, object]:
        """Everything but the maps as plain data; explanation.h5 holds the maps."""
        kind = "value" if self.meaning == "values" else "probability"
        return {
            "rationale": __version__,
            "picture": self.name,
            "size": list(self.image.shape[:2]),
            "label": self.label,
            "index": self.index,
            "probability": self.probability,
            "target": self.target,
            "target_index": self.target_index,
            "against": self.against,
            "against_index": self.against_index,
            "score": self.score,
            "sentence": self.sentence,
            "sentences": [each.as_dict() for each in self.sentences],
            "words": [word.as_dict() for word in self.words],
            "why_not": self.why_not.as_dict() if self.why_not else None,
            "consistency": self.consistency,
            "remark": self.remark,
            "meaning": self.meaning,
            "classes": [{"label": label, kind: number} for label, number in self.classes],
            "strongest_channels": [vars(channel) for channel in self.strongest_channels()],
            "units": {layer: [each.as_dict() for each in some] for layer, some in self.unit_evidence.items()},
            "channel_relevance": {name: _short(self.channel_relevance(name)) for name in self.relevance},
            "ledger": [vars(account) for account in self.ledger],
            "settings": dict(self.settings),
        }

    def _hdf5(self, full: bool) -> bytes:
        """The maps as an HDF5 file; made in memory, for HDF5 does not survive a full disk."""
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            if self.probability is not None:
                file.attrs["probability"] = self.probability
            file.attrs.update({"meaning": self.meaning, "score": self.score, "rationale": __version__})
            texts = {"picture": self.name, "label": self.label, "target": self.target, **self.settings}
            if self.against is not None:
                texts["against"] = self.against
            file.attrs.update({key: printable(text) for key, text in texts.items()})
            if self.sentences:
                texts_said = [each.text for each in self.sentences]
                file.create_dataset("sentences", data=texts_said, dtype=h5py.string_dtype())
                file["sentences"].attrs["log_probabilities"] = [each.log_probability for each in self.sentences]
            if self.words:
                for name, values in as_datasets(self.words, full=full).items():
                    if values.dtype == object:
                        file.create_dataset(f"words/{name}", data=values, dtype=h5py.string_dtype())
                    elif values.ndim == 3:
                        maps = values if full else _rounded(values, 7)
                        file.create_dataset(f"words/{name}", data=maps, **_PACKED)
                    else:
                        file[f"words/{name}"] = values
            if self.why_not:
                contrast = self.why_not.heatmap if full else _rounded(self.why_not.heatmap, 12)
                file.create_dataset("why_not/heatmap", data=contrast, **_PACKED)
                file["why_not"].attrs.update({"label": self.why_not.label, "other": self.why_not.other})
            for part, mask in self.regions.items():
                file.create_dataset(f"regions/{part}", data=mask, **_PACKED)
            file.create_dataset("image", data=self.image, **_PACKED)
            file.create_dataset("heatmap", data=self.heatmap if full else _rounded(self.heatmap, 12), **_PACKED)
            for name, maps in self.relevance.items():
                file[f"channel_relevance/{hdf5_name(name)}"] = self.channel_relevance(name)
                if full:
                    file.create_dataset(f"relevance/{hdf5_name(name)}", data=maps, **_PACKED)
        return content.getvalue()

    def report_part(self) -> Part:
        """This explanation's part of a report, drawn once; small, unlike the explanation itself."""
        return self._part

    @cached_property
    def _part(self) -> Part:
        return draw(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: the top of the report, in a frame of its own so that its styles stay inside."""
        page = html.escape(render_report([draw(self, light=True)], self.name, fragment=True), quote=True)
        style = "width:100%;height:620px;border:0"
        return f'<iframe srcdoc="{page}" style="{style}" title="{html.escape(self.name, quote=True)}"></iframe>'

    def __repr__(self) -> str:
        return f"Explanation({self.name!r}: {self.label!r}, {said(self.meaning, self.classes[0][1])})"


def hdf5_name(layer: str) -> str:
    """What a layer is called in our HDF5 files, where "/" would nest, so that `a` and `a/b` lie side by side.

    A "/" becomes "|"; what could be mistaken for it, or is no name there, becomes "%" and its code, as in addresses.
    """
    escaped = re.sub(r"[%|\x00]|^\.$", lambda found: f"%{ord(found[0]):02X}", layer)
    return printable(escaped.replace("/", "|"))


def make_folder(folder: Path) -> None:
    """Makes a directory for results, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror or error})") from error


def save_report(parts: Sequence[Part], path: Path, title: str) -> Path:
    """Writes one page with the parts of several explanations.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        write_whole(path, render_report(parts, title))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return path


def explanations_of(
    relevance: Relevance,
    outcome: Outcome,
    input_name: str,
    labels: Sequence[str],
    views: Sequence[Pixels],
    names: Sequence[str],
    settings: Mapping[str, str],
    sentences: Sequence[Sequence[Sentence]] | None = None,
    regions: Sequence[Mapping[str, NDArray[np.bool_]] | None] | None = None,
    against: int | None = None,
    words: Sequence[Sequence[Word]] | None = None,
) -> list[Explanation]:
    """Takes the relevance of a batch apart into one Explanation for each picture."""
    found = []
    for number, view in enumerate(views):
        numbers = outcome.numbers[number]
        order = np.argsort(-numbers, kind="stable")
        best, target = int(order[0]), int(relevance.targets[number])
        layers = {name: maps[number].reshape(_as_maps(maps[number].shape)) for name, maps in relevance.items()}
        found.append(
            Explanation(
                name=names[number],
                image=view,
                label=labels[best],
                index=best,
                probability=None if outcome.meaning == "values" else float(numbers[best]),
                target=labels[target],
                target_index=target,
                against=None if against is None else labels[against],
                against_index=against,
                labels=labels,
                score=float(relevance.scores[number]),
                classes=[(labels[each], float(numbers[each])) for each in order],
                heatmap=layers[input_name].sum(axis=0),
                relevance=layers,
                ledger=[account_of(entry, number) for entry in relevance.ledger],
                settings=settings,
                meaning=outcome.meaning,
                sentences=sentences[number] if sentences else (),
                regions=(regions[number] if regions else None) or {},
                words=words[number] if words else (),
            )
        )
    return found


def _rounded(values: Array, digits: int) -> Array:
    """The numbers to so many binary digits, in float32's range: of twelve, they take half the space."""
    gone = 24 - digits
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(1 << (gone - 1))) & np.uint32(0xFFFFFFFF << gone & 0xFFFFFFFF)
    return np.asarray(rounded.view(np.float32))


def _short(values: Array) -> list[float]:
    """Numbers with no more digits than tell them apart as float32."""
    return [float(str(value)) for value in values]


def _pieces(sentence: Sentence) -> list[tuple[str, str | None]]:
    pieces: list[tuple[str, str | None]] = []
    at = 0
    for mention in sentence.mentions:
        pieces += [(sentence.text[at : mention.start], None), (mention.text, mention.part)]
        at = mention.end
    pieces.append((sentence.text[at:], None))
    return [piece for piece in pieces if piece[0]]


def _as_maps(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(C,) as (C, 1, 1)."""
    return (*shape, 1, 1) if len(shape) == 1 else shape
