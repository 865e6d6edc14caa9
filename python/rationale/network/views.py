"""How Python sees Caffe's memory, without a copy: as NumPy's arrays on the processor, as CuPy's on a card."""

import importlib
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rationale.errors import DeviceError
from rationale.network.pycaffe import pycaffe

Blob = Any  # caffe.Blob, or what has its `data`, `diff` and `reshape`
Array = Any  # of the array module


class Views(Protocol):
    """The arrays of one kind of memory.

    Attributes:
        xp: the array module, with NumPy's names.
        on_card: whether a look at a number from Python would have to wait for a card.
    """

    xp: Any
    on_card: bool

    def select(self) -> None:
        """Has the array module work on the card, in the calling thread."""
        ...

    def wrap(self, blob: Blob) -> Blob:
        """The blob with `data` and `diff` as arrays of `xp`, and a `refresh` after it changed its shape."""
        ...

    def make(self, shape: tuple[int, ...]) -> Blob:
        """Memory like a wrapped blob's, apart from any network; nothing is allocated before it is touched."""
        ...

    def write(self, array: Array, values: Array) -> None:
        """Copies values, from the host's memory or this one, into an array."""
        ...

    def from_host(self, values: NDArray[Any]) -> Array:
        """The values in this memory."""
        ...

    def to_host(self, array: Array) -> NDArray[Any]:
        """The values in the host's memory; on the processor the array itself."""
        ...

    def copy_to_host(self, array: Array) -> NDArray[Any]:
        """A copy in the host's memory, which lives on when Caffe's memory changes."""
        ...

    def launch(self, source: Path, name: str, rows: int, threads: int, *arguments: Any) -> None:
        """Runs a function of a CUDA source with `rows` blocks of so many threads.

        Arguments are arrays of this memory, and NumPy's numbers of the width that the function wants.
        """
        ...


class HostViews:
    """The processor's memory."""

    xp: Any = np
    on_card = False

    def select(self) -> None:
        """See Views."""

    def wrap(self, blob: Blob) -> Blob:
        """See Views: pycaffe's blobs are what is wanted."""
        return blob

    def make(self, shape: tuple[int, ...]) -> Blob:
        """See Views."""
        return make_blob(shape)

    def write(self, array: Array, values: Array) -> None:
        """See Views."""
        array[...] = values

    def from_host(self, values: NDArray[Any]) -> Array:
        """See Views."""
        return values

    def to_host(self, array: Array) -> NDArray[Any]:
        """See Views."""
        return array  # type: ignore[no-any-return]

    def copy_to_host(self, array: Array) -> NDArray[Any]:
        """See Views."""
        return array.copy()  # type: ignore[no-any-return]

    def launch(self, source: Path, name: str, rows: int, threads: int, *arguments: Any) -> None:
        """See Views; the processor has NumPy."""
        raise NotImplementedError


class CardBlob:
    """A blob whose `data` and `diff` are CuPy's arrays on Caffe's memory on a card.

    Caffe keeps track of where a blob's numbers are the latest: each look at `data` or `diff` tells it that they are on
    the card from now on, and brings them there if the host's were.
    """

    def __init__(self, blob: Blob, cupy: Any, device: int, shape: tuple[int, ...] | None = None) -> None:
        self.blob = blob
        self._cupy = cupy
        self._device = device
        self.shape = tuple(blob.shape) if shape is None else shape
        self._known: dict[str, tuple[int, Array]] = {}  # pointer and array, of data and diff

    @property
    def data(self) -> Array:
        """Activations, or weights.

        Raises:
            DeviceError: the card has no memory for them.
        """
        try:
            return self._view("data", self.blob._gpu_data_ptr)
        except RuntimeError as error:
            raise self._refused(error) from error

    @property
    def diff(self) -> Array:
        """Gradients, or relevance.

        Raises:
            DeviceError: the card has no memory for them.
        """
        try:
            return self._view("diff", self.blob._gpu_diff_ptr)
        except RuntimeError as error:
            raise self._refused(error) from error

    def reshape(self, *shape: int) -> None:
        """Gives the blob another shape; its memory grows where it must."""
        if shape != self.shape:
            self.blob.reshape(*shape)
            self.shape = shape
            self._known.clear()

    def refresh(self) -> None:
        """Takes note of a shape that Caffe changed."""
        self.shape = tuple(self.blob.shape)
        self._known.clear()

    def _refused(self, error: RuntimeError) -> DeviceError:
        wanted = " × ".join(map(str, self.shape))
        return DeviceError(f"GPU {self._device}: {wanted} numbers: {' '.join(str(error).split())}; try a smaller batch")

    def _view(self, part: str, pointer: int) -> Array:
        known = self._known.get(part)
        if known is None or known[0] != pointer:
            cuda = self._cupy.cuda
            size = 4 * int(np.prod(self.shape, dtype=np.int64))
            memory = cuda.MemoryPointer(cuda.UnownedMemory(pointer, size, self.blob, self._device), 0)
            known = self._known[part] = (pointer, self._cupy.ndarray(self.shape, np.float32, memory))
        return known[1]


class CardViews:
    """The memory of card number `device`."""

    on_card = True

    def __init__(self, cupy: Any, device: int) -> None:
        self.xp = cupy
        self.device = device
        self._modules: dict[Path, Any] = {}
        self._functions: dict[tuple[Path, str], Any] = {}

    def select(self) -> None:
        """See Views."""
        self.xp.cuda.Device(self.device).use()

    def wrap(self, blob: Blob) -> Blob:
        """See Views."""
        return CardBlob(blob, self.xp, self.device)

    def make(self, shape: tuple[int, ...]) -> Blob:
        """See Views."""
        return CardBlob(make_blob(shape), self.xp, self.device, shape)

    def write(self, array: Array, values: Array) -> None:
        """See Views."""
        if isinstance(values, np.ndarray):
            array.set(np.ascontiguousarray(np.broadcast_to(values, array.shape), array.dtype))
        else:
            array[...] = values

    def from_host(self, values: NDArray[Any]) -> Array:
        """See Views."""
        return self.xp.asarray(values)

    def to_host(self, array: Array) -> NDArray[Any]:
        """See Views."""
        return self.xp.asnumpy(array)  # type: ignore[no-any-return]

    def copy_to_host(self, array: Array) -> NDArray[Any]:
        """See Views."""
        return self.xp.asnumpy(array)  # type: ignore[no-any-return]

    def launch(self, source: Path, name: str, rows: int, threads: int, *arguments: Any) -> None:
        """See Views. A source is compiled for the card when it is first wanted, and kept by CuPy between runs."""
        key = (source, name)
        if key not in self._functions:
            if source not in self._modules:
                code = source.read_text(encoding="utf-8")
                self._modules[source] = self.xp.RawModule(code=code, options=("--std=c++17",))
            self._functions[key] = self._modules[source].get_function(name)
        self._functions[key]((rows,), (threads,), arguments)


HOST = HostViews()


def views_for(gpu: int | None) -> Views:
    """The views of the memory of card number `gpu`; of the processor's for None.

    Raises:
        DeviceError: CuPy is missing, or made for another CUDA than Caffe.
    """
    return HOST if gpu is None else _card(gpu)


@cache
def _card(gpu: int) -> CardViews:
    return CardViews(cupy(), gpu)


def cupy() -> Any:
    """The `cupy` module.

    Raises:
        DeviceError: it is missing, cannot be imported, or was made for another CUDA than Caffe.
    """
    try:
        module = importlib.import_module("cupy")
        module.cuda.nvrtc.getVersion()  # it finds the compiler of its kernels when that is first wanted
    except ModuleNotFoundError as error:
        raise DeviceError("relevance on a card wants CuPy: pip install 'rationale[gpu]'") from error
    except Exception as error:  # its own words, of libraries that it does not find
        raise DeviceError(f"CuPy cannot be used: {' '.join(str(error).split())[:300]}") from error
    built, made = int(pycaffe()._caffe.cuda_versions()[0]) // 1000, _cuda_of(module)
    if made != built:
        raise DeviceError(
            f"CuPy was made for CUDA {made}, and this Caffe for CUDA {built}: pip install cupy-cuda{built}x instead"
        )
    return module


def _cuda_of(module: Any) -> int:
    """Major version of the CUDA that a CuPy was made for."""
    return int(module.cuda.driver.get_build_version()) // 1000


def make_blob(shape: tuple[int, ...]) -> Blob:
    """Memory like a blob's, apart from any network; nothing is allocated before it is touched."""
    return pycaffe()._caffe.Blob(shape)
