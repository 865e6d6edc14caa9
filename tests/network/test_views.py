"""Views of a card's memory: which arrays are made of Caffe's pointers, and what is said where CuPy is no help.

CuPy and the card are played.
"""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rationale import doctor
from rationale.errors import DeviceError
from rationale.network import device, views


class PlayedBlob:
    """A blob of a build for CUDA: two pieces of memory, which Caffe may exchange for others."""

    _gpu_data_ptr, _gpu_diff_ptr = 1000, 2000

    def __init__(self, *shape: int) -> None:
        self.shape = list(shape)

    def reshape(self, *shape: int) -> None:
        self.shape = list(shape)


class PlayedArray:
    def __init__(self, shape: tuple[int, ...], dtype: type, memory: Any) -> None:
        self.shape, self.dtype, self.memory = shape, dtype, memory


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A CuPy for CUDA 13 beside a Caffe for CUDA 13.0 that shows one card."""
    module = SimpleNamespace(
        __version__="14.2.0",
        ndarray=PlayedArray,
        cuda=SimpleNamespace(
            UnownedMemory=lambda pointer, size, owner, card: SimpleNamespace(pointer=pointer, size=size, card=card),
            MemoryPointer=lambda memory, offset: memory,
            nvrtc=SimpleNamespace(getVersion=lambda: (13, 0)),
            driver=SimpleNamespace(get_build_version=lambda: 13020),
        ),
    )
    answers = {"cuda_versions": lambda: (13000, 13000), "card_count": lambda: 1}
    caffe = SimpleNamespace(_caffe=SimpleNamespace(Blob=PlayedBlob, **answers), __version__="1.0.0")
    for place in (views, device, doctor):
        monkeypatch.setattr(place, "pycaffe", lambda: caffe)
    monkeypatch.setitem(sys.modules, "cupy", module)
    views._card.cache_clear()
    return module


def test_arrays_lie_on_caffes_own_memory(played: SimpleNamespace) -> None:
    blob = PlayedBlob(2, 3, 4, 5)
    wrapped = views.views_for(1).wrap(blob)
    assert (wrapped.data.shape, wrapped.data.dtype) == ((2, 3, 4, 5), np.float32)
    assert vars(wrapped.data.memory) == {"pointer": 1000, "size": 480, "card": 1}
    assert wrapped.diff.memory.pointer == 2000
    assert wrapped.data is wrapped.data  # made once, for it costs time


def test_memory_and_shapes_that_changed_give_other_arrays(played: SimpleNamespace) -> None:
    blob = PlayedBlob(2, 3)
    wrapped = views.views_for(0).wrap(blob)
    first = wrapped.data
    blob._gpu_data_ptr = 5000  # borrowed
    assert wrapped.data.memory.pointer == 5000
    blob._gpu_data_ptr = 1000
    blob.shape = [4, 3]  # Caffe reshaped the network
    wrapped.refresh()
    assert wrapped.data.shape == (4, 3)
    assert wrapped.data is not first
    wrapped.reshape(6, 3)
    assert (blob.shape, wrapped.data.shape) == ([6, 3], (6, 3))


def test_the_processor_needs_no_cupy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert views.views_for(None) is views.HOST


def findings() -> list[tuple[bool, str]]:
    return [(each.good, each.what) for each in doctor.examine() if "CuPy" in each.what]


@pytest.fixture
def nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "available_models", list)
    monkeypatch.setattr(doctor, "layer_types", frozenset)


def test_the_doctor_finds_cupy(played: SimpleNamespace, nothing_else: None) -> None:
    assert findings() == [(True, "CuPy 14.2.0: relevance stays on the card")]


def test_cupy_that_is_missing_is_named(
    played: SimpleNamespace, nothing_else: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"wants CuPy: pip install 'rationale\[gpu\]'"):
        views.views_for(0)
    assert [good for good, _ in findings()] == [False]


def test_cupy_for_another_cuda_is_named(played: SimpleNamespace, nothing_else: None) -> None:
    played.cuda.driver.get_build_version = lambda: 12090
    with pytest.raises(DeviceError, match=r"made for CUDA 12, and this Caffe for CUDA 13: pip install cupy-cuda13x"):
        views.views_for(0)
    assert [good for good, _ in findings()] == [False]


def test_cupy_without_its_compiler_says_so(played: SimpleNamespace, nothing_else: None) -> None:
    def missing() -> None:
        raise RuntimeError('Failure finding "libnvrtc.so.13"')

    played.cuda.nvrtc.getVersion = missing
    with pytest.raises(DeviceError, match=r'CuPy cannot be used: Failure finding "libnvrtc\.so\.13"'):
        views.views_for(0)
    assert [good for good, _ in findings()] == [False]


def test_a_card_without_memory_is_an_error_of_ours(played: SimpleNamespace) -> None:
    class Full(PlayedBlob):
        @property
        def _gpu_diff_ptr(self) -> int:
            raise RuntimeError("syncedmem.cpp:95: Check failed:\n error == cudaSuccess (2 vs. 0)  out of memory")

    with pytest.raises(DeviceError, match=r"GPU 0: 2 × 3 numbers: .*out of memory; try a smaller batch"):
        _ = views.views_for(0).wrap(Full(2, 3)).diff


def test_cupy_that_cannot_be_imported_says_why(
    played: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cupy.py").write_text("raise ImportError('libnvrtc.so.13:\\n  cannot open')")
    monkeypatch.delitem(sys.modules, "cupy")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DeviceError, match=r"CuPy cannot be used: libnvrtc\.so\.13: cannot open"):
        views.views_for(0)
