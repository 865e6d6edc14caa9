"""Gradient ascent on pictures: a batch of units at once, by a recipe. Arrays and a network in, pictures out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array

from rationale.network import Network
from rationale.units.layers import maps_of
from rationale.units.recipes import Recipe

Array = NDArray[np.float32]

_GAIN = 50.0  # what the published rates are made for: the activation of a real picture that a unit likes
_NOTHING = 1e-9  # grey levels
_MOVES = 16  # random moves that a run draws from
_BETA, _EPSILON = (0.9, 0.999), 1e-8  # of Adam
# Brightness, then two differences of colours, which vary less in photographs; columns are orthogonal.
_COLOURS = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]).T / np.sqrt([3, 2, 6]) * [1, 0.3, 0.15]


@dataclass(frozen=True, eq=False)
class Slope:
    """What is climbed: units of one layer of a network, each sample of a batch its own.

    Attributes:
        network: with one input.
        layer: its topmost layer of interest.
        units: channel of each sample, (N,).
        place: row and column in the layer's maps.
        sign: +1 to climb, −1 to descend.
        best: magnitude of each unit's activation that counts as much, (N,); by it the published rates fit any network.
        scale: of the preprocessing, by which pixels become inputs.
        low, high: least and greatest value of a pixel less the mean, (C, 1, 1).
    """

    network: Network
    layer: str
    units: NDArray[np.int64]
    place: tuple[int, int]
    sign: int
    best: Array
    scale: float
    low: Array
    high: Array

    def activation(self, pictures: Array) -> Array:
        """Of each sample's unit, (N,)."""
        self.network.forward(pictures * np.float32(self.scale))
        return self._values()

    def climb(self, pictures: Array, diversity: float) -> tuple[Array, Array]:
        """The activations (N,) and the gradient of the objective by the pixels, (N, C, H, W)."""
        values = self.activation(pictures)
        maps = maps_of(self.network.activation(self.layer))
        seed = np.zeros_like(maps)
        rows = np.arange(len(maps))
        seed[rows, self.units, self.place[0], self.place[1]] = self.sign * _GAIN / self.best
        if diversity:
            seed -= diversity * _GAIN * likeness_gradient(maps, self.units)
        (slope,) = self.network.backward(
            self.layer, gradient=seed.reshape(self.network.shape(self.layer)).astype(np.float32)
        ).values()
        return values, slope * np.float32(self.scale)

    def _values(self) -> Array:
        maps = maps_of(self.network.activation(self.layer))
        return np.array(maps[np.arange(len(maps)), self.units, self.place[0], self.place[1]])


@dataclass(eq=False)
class Climb:
    """Pictures on their way up; what is needed to go on is in `state`.

    Attributes:
        recipe: how.
        pixels: (N, C, H, W), pixel values less the mean; with a Fourier recipe made of `state["spectrum"]`.
        done: steps.
        random: of the moves.
        state: other arrays.
    """

    recipe: Recipe
    pixels: Array
    done: int
    random: np.random.Generator
    state: dict[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def begin(cls, recipe: Recipe, pixels: Array, slope: Slope, seed: int) -> "Climb":
        """From some pictures, pixel values less the mean."""
        climb = cls(recipe, np.clip(pixels, slope.low, slope.high), 0, np.random.default_rng(seed))
        if recipe.fourier:
            span = slope.high - slope.low
            share = np.clip((climb.pixels - slope.low) / span, 0.02, 0.98)
            spectrum = to_spectrum(np.log(share / (1 - share)))
            climb.state = {
                "spectrum": spectrum,
                "mean": np.zeros_like(spectrum),
                "square": np.zeros(spectrum.shape, np.float32),
            }
        return climb

    def saved(self) -> dict[str, Any]:
        """Arrays from which `restore` goes on exactly."""
        random = np.array(json.dumps(self.random.bit_generator.state))
        return {"pixels": self.pixels, "done": np.array(self.done), "random": random, **self.state}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Goes on where `saved` was."""
        self.random.bit_generator.state = json.loads(str(saved["random"]))
        self.pixels, self.done = saved["pixels"], int(saved["done"])
        self.state = {name: saved[name] for name in self.state}

    def run(self, slope: Slope, after: Callable[[int, Array], None] = lambda done, values: None) -> Array:
        """Takes the steps that are missing and returns the pictures; `after` each, the activations are told."""
        moves = _moves(self.recipe, self.pixels.shape[2:])
        while self.done < self.recipe.iterations:
            values = self._step(slope, moves)
            self.done += 1
            after(self.done, values)
        return self.pixels

    def _step(self, slope: Slope, moves: Sequence[csr_array]) -> Array:
        how = self.recipe
        move = moves[int(self.random.integers(len(moves)))] if moves else None
        jitter = min(how.jitter, min(self.pixels.shape[2:]) // 8)  # small pictures are not torn apart
        shift = tuple(self.random.integers(-jitter, jitter + 1, 2).tolist()) if jitter else (0, 0)
        shown = self.pixels if move is None else apply(move, self.pixels)
        values, gradient = slope.climb(np.roll(shown, shift, axis=(2, 3)), how.diversity)
        gradient = np.roll(gradient, (-shift[0], -shift[1]), axis=(2, 3))
        if move is not None:
            gradient = apply(move.T.tocsr(), gradient)
        if how.total_variation:
            gradient = gradient - how.total_variation * _size(gradient) / _size(self.pixels) * total_variation_gradient(
                self.pixels
            )
        if how.fourier:
            self._fourier_step(slope, gradient)
        else:
            self._plain_step(slope, gradient)
        return values

    def _plain_step(self, slope: Slope, gradient: Array) -> None:
        """The picture itself goes up, then is regularised."""
        how, pixels = self.recipe, self.pixels
        rate = np.full((len(pixels), 1, 1, 1), how.rate, np.float32)
        if how.progress:
            steepness = (gradient.astype(np.float64) ** 2).sum(axis=(1, 2, 3), keepdims=True)
            rate = np.minimum(rate, how.progress / np.maximum(steepness, 1e-30)).astype(np.float32)
        pixels = np.clip(pixels + rate * gradient, slope.low, slope.high)
        self.pixels = regularised(pixels, gradient, how, self.done)

    def _fourier_step(self, slope: Slope, gradient: Array) -> None:
        """The spectrum goes up, by Adam; each picture's gradient at one length, so that one rate fits all."""
        state, span = self.state, slope.high - slope.low
        share = (self.pixels - slope.low) / span
        by_logit = gradient * share * (1 - share) * span
        ascent = spectrum_gradient(by_logit)
        length = np.sqrt(np.mean(np.abs(ascent) ** 2, axis=(1, 2, 3), keepdims=True))
        ascent = ascent / np.maximum(length, 1e-30)
        count = self.done + 1
        state["mean"] = _BETA[0] * state["mean"] + (1 - _BETA[0]) * ascent
        state["square"] = _BETA[1] * state["square"] + (1 - _BETA[1]) * np.abs(ascent) ** 2
        mean, square = state["mean"] / (1 - _BETA[0] ** count), state["square"] / (1 - _BETA[1] ** count)
        state["spectrum"] = state["spectrum"] + self.recipe.rate * mean / (np.sqrt(square) + _EPSILON)
        logit = from_spectrum(state["spectrum"], self.pixels.shape[2:])
        self.pixels = (slope.low + span / (1 + np.exp(-logit))).astype(np.float32)


# ---- regularisers ----------------------------------------------------------------------------------------------------


def regularised(pixels: Array, gradient: Array, how: Recipe, step: int) -> Array:
    """A picture (N, C, H, W) after decay, blur and clipping; grey is 0."""
    pixels = pixels * np.float32(1 - how.decay)
    if how.blur and step % how.blur_every == 0:
        pixels = gaussian_filter(pixels, (0, 0, how.blur, how.blur)).astype(np.float32)
    if how.small_norm:
        pixels = without_least(pixels, np.sqrt((pixels**2).sum(axis=1, keepdims=True)), how.small_norm)
    if how.small_value:
        pixels = without_least(pixels, np.abs(pixels), how.small_value)
    if how.small_contribution:
        contribution = np.abs((pixels * gradient).sum(axis=1, keepdims=True))
        pixels = without_least(pixels, contribution, how.small_contribution)
    return np.where(np.abs(pixels) < _NOTHING, np.float32(0), pixels)  # decay to denormal numbers costs ten times more


def without_least(pixels: Array, sizes: Array, percentage: float) -> Array:
    """Grey where a size, (N, 1 or C, H, W), is among so many percent of the smallest of its picture."""
    edge = np.percentile(sizes.reshape(len(sizes), -1), percentage, axis=1).reshape(-1, 1, 1, 1)
    return np.where(sizes < edge, np.float32(0), pixels)


def _size(arrays: Array) -> Array:
    """Root mean square of each sample, (N, 1, 1, 1)."""
    return np.asarray(np.sqrt((arrays**2).mean(axis=(1, 2, 3), keepdims=True)) + np.float32(1e-12))


def stretched(pixels: Array, slope: Slope, percentile: float = 99.5) -> Array:
    """Pictures with as much contrast as grey levels hold, but for the few strongest values, which are cut."""
    room = np.where(pixels > 0, slope.high, -slope.low)
    used = np.abs(pixels) / np.maximum(room, 1e-6)
    most = np.percentile(used.reshape(len(pixels), -1), percentile, axis=1).reshape(-1, 1, 1, 1)
    return np.clip(pixels / np.maximum(most, 1e-6), slope.low, slope.high).astype(np.float32)


def total_variation_gradient(pixels: Array) -> Array:
    """Of half the sum of squared differences between neighbours, (N, C, H, W)."""
    found = np.zeros_like(pixels)
    for axis in (2, 3):
        steps = np.diff(pixels, axis=axis)
        ends = [slice(None)] * 4
        ends[axis] = slice(1, None)
        found[tuple(ends)] += steps
        ends[axis] = slice(None, -1)
        found[tuple(ends)] -= steps
    return found


def likeness_gradient(maps: Array, units: NDArray[np.int64]) -> Array:
    """Gradient, by maps (N, C, H, W), of the summed cosine between the Gram matrices of each pair of one unit."""
    flat = maps.reshape(*maps.shape[:2], -1).astype(np.float64)
    grams = flat @ flat.transpose(0, 2, 1)
    lengths = np.sqrt((grams**2).sum(axis=(1, 2), keepdims=True)) + 1e-12
    normed = grams / lengths
    found = np.zeros_like(flat)
    for one in range(len(flat)):
        others = [each for each in range(len(flat)) if each != one and units[each] == units[one]]
        if others:
            likeness = sum(normed[other] - (normed[other] * normed[one]).sum() * normed[one] for other in others)
            found[one] = 2 * (likeness / lengths[one]) @ flat[one]
    return np.asarray(found.reshape(maps.shape), np.float32)


# ---- random moves ----------------------------------------------------------------------------------------------------


def _moves(how: Recipe, size: tuple[int, ...]) -> list[csr_array]:
    """Random changes of size and angle about the middle, the same for every run of a recipe."""
    if not (how.scale or how.rotation):
        return []
    random = np.random.default_rng(0)
    return [
        resampling(
            (size[0], size[1]),
            1 + how.scale * random.uniform(-1, 1),
            np.deg2rad(how.rotation) * random.uniform(-1, 1),
        )
        for _ in range(_MOVES)
    ]


def resampling(size: tuple[int, int], scale: float, angle: float) -> csr_array:
    """A matrix over the H · W pixels that turns and enlarges a picture about its middle, bilinear; its own adjoint's
    transpose. What comes from outside is the nearest pixel of the border."""
    height, width = size
    rows, columns = np.mgrid[:height, :width].astype(float)
    y, x = rows - (height - 1) / 2, columns - (width - 1) / 2
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    y, x = cosine * y - sine * x + (height - 1) / 2, sine * y + cosine * x + (width - 1) / 2
    y, x = np.clip(y, 0, height - 1).ravel(), np.clip(x, 0, width - 1).ravel()
    top, left = np.minimum(y.astype(int), max(height - 2, 0)), np.minimum(x.astype(int), max(width - 2, 0))
    down, right = y - top, x - left
    corners = [
        (top + i * (height > 1), left + j * (width > 1), (down if i else 1 - down) * (right if j else 1 - right))
        for i in (0, 1)
        for j in (0, 1)
    ]
    places = np.arange(height * width)
    entries = np.concatenate([weight for *_, weight in corners])
    sources = np.concatenate([row * width + column for row, column, _ in corners])
    return csr_array((entries, (np.tile(places, 4), sources)), shape=(height * width, height * width), dtype=np.float32)


def apply(matrix: csr_array, pictures: Array) -> Array:
    """A matrix over the pixels of each channel, (N, C, H, W)."""
    flat = pictures.reshape(-1, matrix.shape[1])
    return np.ascontiguousarray((matrix @ flat.T).T, np.float32).reshape(pictures.shape)


# ---- frequencies and colours -----------------------------------------------------------------------------------------


def to_spectrum(pictures: Array) -> NDArray[np.complex64]:
    """Coefficients of decorrelated colours at each frequency, those of low ones scaled down as much as they are strong
    in photographs, (N, C, H, W // 2 + 1)."""
    plain = np.einsum("ij,njhw->nihw", np.linalg.inv(_colours(pictures.shape[1])), pictures)
    size = (pictures.shape[2], pictures.shape[3])
    return np.asarray(np.fft.rfft2(plain, norm="ortho") / _weights(size), np.complex64)


def from_spectrum(spectrum: Array, size: tuple[int, ...]) -> Array:
    """The pictures of such coefficients."""
    plain = np.fft.irfft2(spectrum * _weights((size[0], size[1])), s=(size[0], size[1]), norm="ortho")
    return np.asarray(np.einsum("ij,njhw->nihw", _colours(spectrum.shape[1]), plain), np.float32)


def spectrum_gradient(gradient: Array) -> NDArray[np.complex64]:
    """The gradient by the coefficients, of one by the pixels: the adjoint of `from_spectrum`."""
    size = (gradient.shape[2], gradient.shape[3])
    plain = np.einsum("ji,njhw->nihw", _colours(gradient.shape[1]), gradient)
    found = np.fft.rfft2(plain, norm="ortho") * _weights(size)
    twice = np.full(found.shape[-1], 2.0)  # a coefficient stands for its mirror image too
    twice[0] = 1
    if size[1] % 2 == 0:
        twice[-1] = 1
    return np.asarray(found * twice, np.complex64)


def _weights(size: tuple[int, int]) -> NDArray[np.float64]:
    """One over the frequency, of mean square one, (H, W // 2 + 1)."""
    vertical, horizontal = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
    frequency = np.sqrt(vertical**2 + horizontal**2)
    found = 1 / np.maximum(frequency, 1 / max(size))
    return np.asarray(found / np.sqrt(np.mean(found**2)))


def _colours(channels: int) -> NDArray[np.float64]:
    return _COLOURS if channels == 3 else np.eye(channels)
