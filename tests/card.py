"""What stands in for a card: arrays that refuse to become NumPy's, and the card's own source, run on the processor.

`CardStandIn` are views of Caffe's memory as `rationale.network.views.CardViews` are. A pass on them does what it would
do on a card, but for Caffe's own layers: a silent copy to the host is an error, and each explicit one is written down.
"""

import atexit
import ctypes
import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rationale.lrp import card
from rationale.network import Network
from rationale.network.views import make_blob

_ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "and", "or", "eq", "ne", "lt", "le", "gt", "ge")


class HostCopyError(TypeError):
    """An array of the card was to become one of the host's in silence."""


def _refuse(self: "StrictArray", *arguments: object, **options: object) -> Any:
    raise HostCopyError("an array of the card was copied to the host without a word")


class StrictArray:
    """An array as CuPy's are: computes with its own kind and with numbers, and gives none away."""

    __array_ufunc__ = None
    __array__ = __float__ = __int__ = __bool__ = __index__ = __iter__ = __complex__ = _refuse
    item = tolist = tobytes = _refuse
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    dtype = property(lambda self: self.values.dtype)
    data = property(lambda self: SimpleNamespace(ptr=self.values.ctypes.data))

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place: Any) -> "StrictArray":
        return StrictArray(self.values[_place(place)])

    def __setitem__(self, place: Any, values: Any) -> None:
        self.values[_place(place)] = _plain(values)

    def fill(self, value: float) -> None:
        self.values.fill(value)

    def __getattr__(self, name: str) -> Any:
        """Methods that give arrays."""
        if name not in ("reshape", "astype", "copy", "sum", "argmax", "min", "max", "any", "all"):
            raise AttributeError(name)
        return lambda *arguments, **options: StrictArray(
            getattr(self.values, name)(*map(_plain, arguments), **{key: _plain(each) for key, each in options.items()})
        )


def _operator(name: str) -> Any:
    return lambda self, other: StrictArray(getattr(self.values, name)(_plain(other)))


for _name in _ARITHMETIC:
    setattr(StrictArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("add", "sub", "mul", "truediv"):
    setattr(StrictArray, f"__r{_name}__", _operator(f"__r{_name}__"))

    def _in_place(self: StrictArray, other: Any, name: str = f"__i{_name}__") -> StrictArray:
        getattr(self.values, name)(_plain(other))
        return self

    setattr(StrictArray, f"__i{_name}__", _in_place)
StrictArray.__neg__ = lambda self: StrictArray(-self.values)  # type: ignore[attr-defined]
StrictArray.__invert__ = lambda self: StrictArray(~self.values)  # type: ignore[attr-defined]


def _plain(value: Any) -> Any:
    """The numbers of a strict array; NumPy's own arrays are refused, as CuPy refuses them."""
    if isinstance(value, StrictArray):
        return value.values
    if isinstance(value, np.ndarray):
        raise HostCopyError("an array of the host was mixed with one of the card")
    if isinstance(value, list | tuple):
        return type(value)(_plain(each) for each in value)
    return value


def _place(place: Any) -> Any:
    return tuple(_plain(each) for each in place) if isinstance(place, tuple) else _plain(place)


class StrictModule:
    """NumPy's functions, on strict arrays."""

    _WITH_ARRAYS = ("maximum", "minimum", "multiply", "where", "broadcast_to", "concatenate", "zeros_like", "ones_like")
    _WITHOUT = ("zeros", "empty", "ones", "arange")
    _ALL = (*_WITH_ARRAYS, "sign", "any", *_WITHOUT)

    def __getattr__(self, name: str) -> Any:
        if name not in self._ALL:
            raise AttributeError(f"the array module of the card is not asked for {name!r} elsewhere")

        def call(*arguments: Any, **options: Any) -> StrictArray:
            if name not in self._WITHOUT and not _has_strict(arguments):
                raise HostCopyError(f"{name} of what is not on the card")
            plain = {key: _plain(each) for key, each in options.items()}
            found = getattr(np, name)(*(_plain(each) for each in arguments), **plain)
            return options["out"] if "out" in options else StrictArray(found)

        return call


def _has_strict(arguments: Any) -> bool:
    return any(isinstance(e, StrictArray) or (isinstance(e, list | tuple) and _has_strict(e)) for e in arguments)


class StrictBlob:
    """A blob of the host, whose numbers are shown as strict arrays."""

    def __init__(self, blob: Any) -> None:
        self.blob = blob

    @property
    def data(self) -> StrictArray:
        return StrictArray(self.blob.data)

    @property
    def diff(self) -> StrictArray:
        return StrictArray(self.blob.diff)

    def reshape(self, *shape: int) -> None:
        self.blob.reshape(*shape)

    def refresh(self) -> None:
        pass


class CardStandIn:
    """Views that pretend to be of a card; `events` says what happened, "copy" for each array brought to the host."""

    on_card = True

    def __init__(self) -> None:
        self.xp = StrictModule()
        self.events: list[str] = []

    def select(self) -> None:
        pass

    def wrap(self, blob: Any) -> StrictBlob:
        return StrictBlob(blob)

    def make(self, shape: tuple[int, ...]) -> StrictBlob:
        return StrictBlob(make_blob(shape))

    def write(self, array: StrictArray, values: Any) -> None:
        array.values[...] = values.values if isinstance(values, StrictArray) else values

    def from_host(self, values: np.ndarray) -> StrictArray:
        assert isinstance(values, np.ndarray)
        return StrictArray(values.copy())

    def to_host(self, array: Any) -> np.ndarray:
        if isinstance(array, np.ndarray):  # as cupy.asnumpy does
            return array
        self.events.append("copy")
        return array.values.copy()

    copy_to_host = to_host

    def launch(self, source: Path, name: str, rows: int, threads: int, *arguments: Any) -> None:
        self.events.append(name)
        assert source == card.SOURCE
        run(name, rows, 1, *arguments)


# ---- the source of the card's kernels, run on the processor ----------------------------------------------------------

_BEFORE = """
#include <cmath>
#include <cstring>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>
struct Place { unsigned x; };
static thread_local Place threadIdx, blockIdx;
static Place blockDim;
static std::mutex gate;
static std::condition_variable open_;
static unsigned waiting, turn;
static void __syncthreads() {
  if (blockDim.x == 1) return;
  std::unique_lock<std::mutex> lock(gate);
  const unsigned mine = turn;
  if (++waiting == blockDim.x) { waiting = 0; ++turn; open_.notify_all(); }
  else open_.wait(lock, [mine] { return turn != mine; });
}
static unsigned long long atomicAdd(unsigned long long* where, unsigned long long what) {
  return __atomic_fetch_add(where, what, __ATOMIC_RELAXED);
}
#define __global__
#define __device__ static
#define __shared__ static
"""
_AFTER = """
template <typename... Types, size_t... Numbers>
static void grid(void (*kernel)(Types...), unsigned rows, unsigned threads, void** given,
    std::index_sequence<Numbers...>) {
  blockDim.x = threads;
  for (unsigned row = 0; row < rows; ++row) {
    auto one = [&](unsigned number) {
      blockIdx.x = row;
      threadIdx.x = number;
      kernel(*static_cast<std::remove_reference_t<Types>*>(given[Numbers])...);
    };
    std::vector<std::thread> others;
    for (unsigned number = 1; number < threads; ++number) others.emplace_back(one, number);
    one(0);
    for (auto& other : others) other.join();
  }
}
template <typename... Types>
static void all(void (*kernel)(Types...), unsigned rows, unsigned threads, void** given) {
  grid(kernel, rows, threads, given, std::index_sequence_for<Types...>());
}
"""


def functions(source: str) -> list[str]:
    """The names of the functions that a card is asked to run."""
    return [line.split("(")[0].split()[-1] for line in source.splitlines() if line.startswith('extern "C" __global__')]


@functools.cache
def _library() -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++ to run the card's kernels on the processor with")
    source = card.SOURCE.read_text(encoding="utf-8")
    entries = "".join(
        f'extern "C" void run_{name}(unsigned rows, unsigned threads, void** given) '
        f"{{ all({name}, rows, threads, given); }}\n"
        for name in functions(source)
    )
    folder = _folder()
    path = folder / "card.cpp"
    path.write_text(_BEFORE + source + _AFTER + entries, encoding="utf-8")
    command = [compiler, "-std=c++17", "-O1", "-pthread", "-shared", "-fPIC", "-ffp-contract=off", str(path)]
    subprocess.run([*command, "-o", str(folder / "card.so")], check=True)
    return ctypes.CDLL(str(folder / "card.so"))


def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="rationale-card-")
    atexit.register(folder.cleanup)
    return Path(folder.name)


_NUMBERS = {"int32": ctypes.c_int, "int64": ctypes.c_longlong, "float32": ctypes.c_float, "uint64": ctypes.c_void_p}


def run(name: str, rows: int, threads: int, *arguments: Any) -> None:
    """Runs a function of card.cu on the processor, on `rows` blocks of so many threads, one block after the other."""
    held = []
    for each in arguments:
        if isinstance(each, StrictArray):
            assert each.values.flags.c_contiguous
            held.append(ctypes.c_void_p(each.values.ctypes.data))
        else:
            held.append(_NUMBERS[each.dtype.name](each.item()))
    given = (ctypes.c_void_p * len(held))(*(ctypes.cast(ctypes.pointer(each), ctypes.c_void_p) for each in held))
    getattr(_library(), f"run_{name}")(rows, threads, given)


def stand_in(network: Network) -> CardStandIn:
    """Has a network work on a card that is not there; a look at the host's memory is written down as a copy."""
    views = CardStandIn()
    network.use_views(views)
    for name in ("data", "diff", "parameters"):
        setattr(network, name, _noted(views, "copy", getattr(network, name)))
    for name in ("run_forward", "run_backward"):
        setattr(network, name, _noted(views, "layer", getattr(network, name)))
    return views


def _noted(views: CardStandIn, event: str, call: Any) -> Any:
    def noted(*arguments: Any) -> Any:
        views.events.append(event)
        return call(*arguments)

    return noted


def copies_on_the_way(events: list[str]) -> int:
    """Copies to the host before the last thing that a pass asks of the card."""
    asked = [number for number, event in enumerate(events) if event not in ("copy", "gather")]
    return events[: max(asked, default=0)].count("copy")
