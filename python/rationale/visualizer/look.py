"""Answers a page's questions about one picture: decision, heatmap, channels, backward views, account."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from rationale.counterfactual import why_not
from rationale.errors import OptionError
from rationale.explainer.explainer import Sentence
from rationale.explainer.utterance import WordStart
from rationale.explanation import Word, account_of
from rationale.explanation.why_not import WhyNot
from rationale.explanation.words import words_without_maps
from rationale.gradients.baselines import rectified_gradient
from rationale.images import Pixels, load_image
from rationale.lrp import Relevance, propagate
from rationale.model import Model
from rationale.network import Outcome
from rationale.render.colours import symmetric_scale
from rationale.visualizer.frame import Frame, pixels_of
from rationale.visualizer.layers import describe_layers
from rationale.visualizer.parcel import Parcel, shrink
from rationale.visualizer.question import Backward, Question, Tiles, WordAsked

Array = NDArray[np.float32]

_TILE = 40  # pixels on a tile's longer side that are worth sending
_CLASSES = 12  # most probable ones that are sent


@dataclass(frozen=True)
class _Seen:
    """A picture as the network sees it, and what is known of it."""

    frame: Frame
    view: Pixels
    size: tuple[int, int]  # of the picture itself, height and width


@dataclass(frozen=True)
class _Told:
    """Relevance of a seen picture under one way of asking, and what the network says of it."""

    key: tuple[object, ...]
    relevance: Relevance
    outcome: Outcome
    said: "_Said | None" = None
    why_not: WhyNot | None = None


class Looker:
    """Looks at one picture after the other with one model; keeps what it knows of the last one."""

    def __init__(self, model: Model, most_pixels: int) -> None:
        self.model = model
        self._most_pixels = most_pixels
        self._seen: _Seen | None = None
        self._told: _Told | None = None

    def describe(self) -> dict[str, object]:
        """What a page must know of the model before it shows anything."""
        model = self.model
        height, width = model.input_size
        how = model.description.input
        return {
            "name": model.name,
            "title": model.description.title,
            "description": model.description.description,
            "licence": model.description.licence,
            "labels": list(model.labels),
            "input": {"width": width, "height": height, "channels": how.channels, "fit": how.fit},
            "dark": how.background == "dark",
            "preprocessing": model.preprocessing_text(),
            "composite": model.composite().name,
            "score_layer": model.target_layer,
            "layers": describe_layers(model.network, model.target_layer),
        }

    def answer(self, frame: Frame, question: Question) -> bytes:
        """The answer as a packed parcel.

        Raises:
            RationaleError: the picture cannot be read, or the question does not fit the model.
        """
        began = perf_counter()
        seen = self._see(frame)
        conditions = self._conditions(question)
        relevance = self._relevance(seen, question, conditions)
        parcel = Parcel()
        header = self._decision(seen, relevance, question)
        parcel.add_pixels("view", seen.view)
        heatmap = self._heatmap(relevance)
        _add_map(parcel, "heatmap", heatmap)
        header["arrived"] = float(heatmap.sum(dtype=np.float64))
        header["peak"] = float(np.abs(heatmap).max())
        if question.layer is not None:
            header["layer"] = self._layer(parcel, relevance, question, question.layer)
        if conditions:
            (through,) = relevance.conditional[0].values()
            spoken = through[0].sum(axis=0)
            _add_map(parcel, "through", spoken)
            header["through"] = {"sum": float(spoken.sum(dtype=np.float64)), "channel": question.channel}
        if question.ledger:
            header["ledger"] = _ledger(relevance)
        if question.backward is not None:
            header["backward"] = self._backward(parcel, seen, relevance, question, question.backward)
        if question.against is None and not question.live:
            if question.sentence:
                header["sentence"], header["words"] = self._sentence(relevance)
            if question.word is not None:
                header["word"] = self._word(parcel, seen, relevance, question, question.word)
        if (
            question.sentence
            and question.against is not None
            and not question.live
            and self.model.explainer is not None
        ):
            header["why_not"] = self._why_not(seen, relevance, question)
        header["milliseconds"] = round(1000 * (perf_counter() - began), 1)
        return parcel.pack(header)

    def forget(self) -> None:
        """Drops what is known of the last picture: somebody else used the network."""
        self._seen = self._told = None

    # ---- picture and relevance ---------------------------------------------------------------------------------------

    def _see(self, frame: Frame) -> _Seen:
        if self._seen is None or self._seen.frame != frame:
            self._told = None
            self._seen = None
            pixels = load_image(pixels_of(frame, self._most_pixels))
            view = self.model.view(pixels)
            self._seen = _Seen(frame, view, pixels.shape[:2])
        return self._seen

    def _conditions(self, question: Question) -> list[dict[str, int]]:
        if not question.through or question.layer is None or question.channel is None:
            return []
        node = self.model.network.graph.node(question.layer)
        reached = self.model.network.graph.below(self.model.network.graph.node(self.model.target_layer))
        if node not in reached or len(node.tops) != 1 or node.type == "Input":
            return []
        return [{question.layer: question.channel}]

    def _relevance(self, seen: _Seen, question: Question, conditions: Sequence[Mapping[str, int]]) -> Relevance:
        """The relevance pass, unless the last one answers this question too."""
        keep = self._keep(question) if question.live else None
        asked = (question.target, question.against, question.composite)
        wanted = tuple(tuple(condition.items()) for condition in conditions)
        key = (*asked, None if keep is None else tuple(keep), wanted)
        told = self._told
        if (
            told is not None
            and told.key[:3] == asked
            and told.key[3] in (None, key[3])
            and (not wanted or told.key[4] == wanted)
        ):
            return told.relevance
        self._told = None
        relevance = self.model.relevance(
            [seen.view],
            question.target,
            against=question.against,
            composite=question.composite,
            conditions=conditions,
            keep=keep,
        )
        self._told = _Told(key, relevance, self.model.outcome())
        return relevance

    def _keep(self, question: Question) -> list[str]:
        (input_name,) = self.model.network.inputs
        graph = self.model.network.graph
        if question.layer is None:
            return [input_name]
        node = graph.node(question.layer)
        in_reach = node in graph.below(graph.node(self.model.target_layer)) and len(node.tops) == 1
        return list(dict.fromkeys([input_name, question.layer])) if in_reach else [input_name]

    def _heatmap(self, relevance: Relevance) -> Array:
        (input_name,) = self.model.network.inputs
        return np.asarray(relevance[input_name][0].sum(axis=0))

    # ---- parts of the answer -----------------------------------------------------------------------------------------

    def _decision(self, seen: _Seen, relevance: Relevance, question: Question) -> dict[str, object]:
        assert self._told is not None  # relevance was just told
        outcome, scores = self._told.outcome, relevance.outputs[0]
        numbers = outcome.numbers[0]
        kind = "value" if outcome.meaning == "values" else "probability"
        best = np.argsort(-numbers, kind="stable")[:_CLASSES].tolist()
        target = int(relevance.targets[0])
        shown = list(dict.fromkeys([*best, target, *([] if question.against is None else [question.against])]))
        return {
            "type": "answer",
            "model": self.model.name,
            "frame": seen.frame.number,
            "number": question.number,
            "size": {"width": seen.size[1], "height": seen.size[0]},
            "crop": _crop(seen.size, self.model.input_size, self.model.description.input.fit),
            "meaning": outcome.meaning,
            "classes": [{"index": each, kind: float(numbers[each]), "score": float(scores[each])} for each in shown],
            "best": best[0],
            "target": target,
            "against": question.against,
            "composite": self.model.composite(question.composite).name,
            "score": float(relevance.scores[0]),
        }

    def _layer(self, parcel: Parcel, relevance: Relevance, question: Question, name: str) -> dict[str, object]:
        """The chosen layer: numbers of all its channels, maps of those that are shown, the chosen channel whole."""
        activation = _as_maps(self.model.network.activation(name)[0])
        reached = name in relevance or name in relevance.aliases
        spoken = _as_maps(relevance[name][0]) if reached else None
        peaks = activation.reshape(len(activation), -1).max(axis=1)
        sums = None if spoken is None else spoken.reshape(len(spoken), -1).sum(axis=1)
        silent = np.abs(activation).reshape(len(activation), -1).max(axis=1) == 0
        if spoken is not None:
            silent &= np.abs(spoken).reshape(len(spoken), -1).max(axis=1) == 0
        shown = _shown(question.tiles, peaks, sums, silent)
        parcel.add_numbers("peaks", peaks)
        if sums is not None:
            parcel.add_numbers("sums", sums)
        _add_maps(parcel, "activations", shrink(activation[shown], _TILE), shrink(activation, _TILE))
        if spoken is not None:
            _add_maps(parcel, "relevances", shrink(spoken[shown], _TILE), shrink(spoken, _TILE))
        channel = question.channel
        if channel is not None and channel < len(activation):
            _add_map(parcel, "channel-activation", activation[channel])
            if spoken is not None:
                _add_map(parcel, "channel-relevance", spoken[channel])
        return {
            "name": name,
            "channels": len(activation),
            "height": activation.shape[1],
            "width": activation.shape[2],
            "shown": shown.tolist(),
            "silent": int(silent.sum()),
            "channel": channel if channel is not None and channel < len(activation) else None,
        }

    def _backward(
        self, parcel: Parcel, seen: _Seen, relevance: Relevance, question: Question, wanted: Backward
    ) -> dict[str, object]:
        """What a channel, or the explained class, looks back on; colours where the method keeps them."""
        layer = wanted.layer or self.model.target_layer
        channel = wanted.channel if wanted.layer is not None else int(relevance.targets[0])
        if channel is None:
            raise OptionError(f"a backward view from layer {layer!r} wants a channel")
        network = self.model.network
        if wanted.method == "relevance":
            told = propagate(
                network,
                self.model.preprocess([seen.view]),
                unit=channel,
                target_layer=layer,
                composite=self.model.composite(question.composite),
                bounds=self.model.bounds,
                keep=list(network.inputs),
            )
            values = self._heatmap(told)
        else:
            values = self._gradient(seen, layer, channel, wanted)
        _add_map(parcel, "backward", values)
        return {
            "method": wanted.method,
            "layer": layer,
            "channel": channel,
            "of_class": wanted.layer is None,
            "colours": values.ndim == 3,
        }

    def _gradient(self, seen: _Seen, layer: str, channel: int, wanted: Backward) -> Array:
        """By a gradient, from a class with 1, from a channel with its activation; (H, W), or (3, H, W) RGB."""
        network = self.model.network
        activation = network.activation(layer)
        if channel >= activation.shape[1]:
            raise OptionError(f"layer {layer!r} has the channels 0 to {activation.shape[1] - 1}, not {channel}")
        seed = np.zeros_like(activation)
        seed[:, channel] = 1 if wanted.layer is None else activation[:, channel]
        if wanted.method in ("deconvolution", "guided"):
            slope = rectified_gradient(network, layer, seed, guided=wanted.method == "guided")
        else:
            (slope,) = network.backward(layer, gradient=seed).values()
        if wanted.method == "gradient-input":
            return np.asarray((slope * self.model.preprocess([seen.view]))[0].sum(axis=0))
        if slope.shape[1] == 1:
            return np.asarray(slope[0, 0])
        return np.asarray(slope[0, ::-1] if self.model.description.input.colour == "bgr" else slope[0])

    def _sentence(self, relevance: Relevance) -> tuple[str | None, list[dict[str, object]]]:
        """The model's best sentence about the picture, and its words; None for a model without an explainer."""
        said = self._said_of(relevance)
        return (said.sentence.text, [word.summary() for word in said.words]) if said is not None else (None, [])

    def _said_of(self, relevance: Relevance) -> "_Said | None":
        told = self._told
        assert told is not None
        if told.said is None:
            (found,) = self.model.sentences(relevance, 1)
            if not found:
                return None
            said = _Said(found[0], (), ())
            if self.model.explainer is not None:
                label, evidence = int(relevance.targets[0]), self.model.evidence(relevance)
                said = _Said(found[0], *words_without_maps(evidence, label, self.model.explainer, found[0]))
            told = self._told = replace(told, said=said)
        return told.said

    def _why_not(self, seen: _Seen, relevance: Relevance, question: Question) -> dict[str, object]:
        """Why the explained class and not the one that it is contrasted with, in words."""
        told = self._told
        assert told is not None
        assert question.against is not None
        if told.why_not is None:
            target = int(relevance.targets[0])
            found = why_not(self.model, seen.view, target, question.against, composite=question.composite)
            told = self._told = replace(told, why_not=found)
        assert told.why_not is not None
        return told.why_not.as_dict()

    def _word(
        self, parcel: Parcel, seen: _Seen, relevance: Relevance, question: Question, wanted: WordAsked
    ) -> dict[str, object] | None:
        """The heatmap of one word; None where there is no such word, or nothing that it is contrasted with."""
        said = self._said_of(relevance)
        starts = said.starts if said is not None else ()
        asked = [each for each in starts if each.step == wanted.step and (each.against is not None) == wanted.contrast]
        if said is None or not asked:
            return None
        batch = self.model.preprocess([seen.view])
        ((word,),) = self.model.words(relevance, [said.sentence], question.composite, only=asked, batch=batch)
        _add_map(parcel, "word", word.heatmap)
        return {"step": wanted.step, "contrast": wanted.contrast}


@dataclass(frozen=True)
class _Said:
    """The sentence about a picture, its words, and what can be asked of them."""

    sentence: Sentence
    words: Sequence[Word]
    starts: Sequence[WordStart]


# ---- arrays ----------------------------------------------------------------------------------------------------------


def _as_maps(values: Array) -> Array:
    """(C,) as (C, 1, 1)."""
    return values.reshape(len(values), 1, 1) if values.ndim == 1 else values


def _add_map(parcel: Parcel, name: str, values: Array) -> None:
    parcel.add_signed(name, values, symmetric_scale(values))


def _add_maps(parcel: Parcel, name: str, maps: Array, of_all: Array) -> None:
    """Tiles on one scale, that of all channels of the layer, so that it does not change with what is shown."""
    parcel.add_signed(name, maps, symmetric_scale(of_all))


def _shown(tiles: Tiles, peaks: Array, sums: Array | None, silent: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Numbers of the channels that are shown, in their order."""
    if tiles.channels is not None:
        listed = np.array(tiles.channels, np.int64)
        return listed[listed < len(peaks)]
    values = peaks if sums is None or tiles.sort == "activation" else sums
    fits = ~silent
    if sums is not None and tiles.sign != "both":
        fits &= sums > 0 if tiles.sign == "for" else sums < 0
    if tiles.least > 0:
        fits &= np.abs(values) >= tiles.least * np.abs(values).max()
    numbers = np.flatnonzero(fits)
    if tiles.sort != "number":
        strength = values if tiles.sort == "activation" else np.abs(values)
        numbers = numbers[np.argsort(-strength[numbers], kind="stable")]
    return numbers[: tiles.count]


def _crop(size: tuple[int, int], wanted: tuple[int, int], fit: str) -> list[float]:
    """Left, top, width and height of what the network sees of the picture, as shares of its sides."""
    if fit != "crop":
        return [0.0, 0.0, 1.0, 1.0]
    ratio = (size[1] / size[0]) / (wanted[1] / wanted[0])
    width, height = (1 / ratio, 1.0) if ratio > 1 else (1.0, ratio)
    return [(1 - width) / 2, (1 - height) / 2, width, height]


def _ledger(relevance: Relevance) -> list[dict[str, object]]:
    return [vars(account_of(entry, 0)) for entry in relevance.ledger]
