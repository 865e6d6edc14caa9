"""Counts copies from a card to the host as NVIDIA's own CUPTI sees them, whoever asked for them."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_MEMCPY = 1  # CUPTI_ACTIVITY_KIND_MEMCPY
_TO_HOST = 2  # CUPTI_ACTIVITY_MEMCPY_KIND_DTOH
_SIZE = 1 << 20
_REQUESTED = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)
)
_COMPLETED = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t)


class _Memcpy(ctypes.Structure):
    """How CUPTI's records of copies begin."""

    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("copy_kind", ctypes.c_uint8),
        ("source_kind", ctypes.c_uint8),
        ("target_kind", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("bytes", ctypes.c_uint64),
    )


class HostCopies:
    """Sizes in bytes of the copies to the host that `watching` saw; only one may live in a process.

    Raises:
        OSError: CUPTI is not there.
    """

    def __init__(self, library: str = "libcupti.so.13") -> None:
        self._cupti = ctypes.CDLL(library)
        self._buffers: dict[int, ctypes.Array] = {}
        self._sizes: list[int] = []
        self._callbacks = _REQUESTED(self._give), _COMPLETED(self._take)  # CUPTI does not keep them alive
        self._call("cuptiActivityRegisterCallbacks", *self._callbacks)

    @contextmanager
    def watching(self) -> Iterator[list[int]]:
        """Fills the list it yields when the block is over; the card has to be done by then."""
        self._sizes = []
        found: list[int] = []
        self._call("cuptiActivityEnable", _MEMCPY)
        try:
            yield found
        finally:
            self._call("cuptiActivityFlushAll", 1)
            self._call("cuptiActivityDisable", _MEMCPY)
            found.extend(self._sizes)

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cupti, name)(*arguments)
        if status:
            raise OSError(f"{name}: CUPTI says {status}")

    def _give(self, buffer, size, most) -> None:  # type: ignore[no-untyped-def]
        own = ctypes.create_string_buffer(_SIZE + 8)
        place = (ctypes.addressof(own) + 7) // 8 * 8  # CUPTI wants it at a multiple of 8
        self._buffers[place] = own
        buffer[0], size[0], most[0] = place, _SIZE, 0

    def _take(self, context, stream, buffer, size, valid) -> None:  # type: ignore[no-untyped-def]
        record = ctypes.c_void_p()
        while (
            valid
            and self._cupti.cuptiActivityGetNextRecord(
                ctypes.c_void_p(buffer), ctypes.c_size_t(valid), ctypes.byref(record)
            )
            == 0
        ):
            copy = _Memcpy.from_address(record.value)
            if copy.kind == _MEMCPY and copy.copy_kind == _TO_HOST:
                self._sizes.append(int(copy.bytes))
        self._buffers.pop(buffer, None)
