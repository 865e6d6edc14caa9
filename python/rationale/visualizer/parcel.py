"""An answer as one binary message: JSON first, then arrays of 8 bits with their scale."""

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rationale.images import Pixels

Map = NDArray[np.floating]


class Parcel:
    """Collects arrays and packs them: length of the JSON (uint32, little-endian), JSON, padding to 4, arrays.

    The JSON's "arrays" says of each where it begins after the JSON and its padding, its shape and its kind:
    `pixels` (uint8), `numbers` (float32), or `signed` (uint8, see `signed_bytes`) with its scale.
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, Any]] = {}
        self._parts: list[bytes] = []
        self._length = 0

    def add_pixels(self, name: str, pixels: Pixels) -> None:
        """A picture, uint8."""
        self._add(name, np.ascontiguousarray(pixels), "pixels")

    def add_numbers(self, name: str, values: Map) -> None:
        """Plain numbers, float32."""
        self._add(name, np.ascontiguousarray(values, "<f4"), "numbers")

    def add_signed(self, name: str, values: Map, scale: float) -> None:
        """A map of signed numbers; what exceeds the scale is drawn like it."""
        self._add(name, signed_bytes(values, scale), "signed", scale=float(scale))

    def _add(self, name: str, array: NDArray[Any], kind: str, **more: float) -> None:
        content = array.tobytes()
        self._entries[name] = {"at": self._length, "shape": list(array.shape), "kind": kind, **more}
        content += b"\0" * (-len(content) % 4)
        self._parts.append(content)
        self._length += len(content)

    def pack(self, header: Mapping[str, object]) -> bytes:
        """Everything as one message."""
        text = json.dumps({**header, "arrays": self._entries}, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        return b"".join([struct.pack("<I", len(text)), text, *self._parts])


def signed_bytes(values: Map, scale: float) -> NDArray[np.uint8]:
    """128 + 127·sign(v)·√(|v| / scale), rounded: 8 bits that are finest near zero, where most of a map lies."""
    strength = np.sqrt(np.minimum(np.abs(values) * np.float32(1 / scale), 1))
    return np.asarray(128.5 + 127 * np.copysign(strength, values)).astype(np.uint8)


def shrink(maps: Map, longest: int) -> Map:
    """Maps (C, H, W) as means over squares of pixels, so that no side is longer than `longest`."""
    step = -(-max(maps.shape[1:]) // longest)
    if step <= 1:
        return maps
    rows, columns = (np.arange(0, size, step) for size in maps.shape[1:])
    sums = np.add.reduceat(np.add.reduceat(maps, columns, axis=2), rows, axis=1)
    heights = np.minimum(step, maps.shape[1] - rows)
    widths = np.minimum(step, maps.shape[2] - columns)
    return np.asarray(sums / (heights[:, None] * widths).astype(np.float32))
