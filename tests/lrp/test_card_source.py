"""The card's kernels as NVIDIA's own compiler reads them: it wants neither card nor driver (`make card-source`)."""

import ctypes
import site
from pathlib import Path

import pytest

from rationale.lrp.card import SOURCE, THREADS
from tests.card import functions

ROOT = Path(__file__).resolve().parents[2]


def nvrtc() -> ctypes.CDLL:
    folders = [ROOT / "out/nvrtc", *(Path(each, "nvidia") for each in site.getsitepackages())]
    found = [path for folder in folders for path in sorted(folder.rglob("libnvrtc.so.*"))]
    if not found:
        pytest.skip("NVRTC is not at hand: make card-source fetches it")
    for path in found[0].parent.glob("libnvrtc-builtins.so.*"):
        ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(found[0]))


def compiled(library: ctypes.CDLL, source: str, architecture: str) -> tuple[int, str, bytes]:
    """What the compiler returned, what it said, and the machine code."""
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"card.cu", 0, None, None) == 0
    options = (ctypes.c_char_p * 2)(f"--gpu-architecture=sm_{architecture}".encode(), b"--std=c++17")
    result = library.nvrtcCompileProgram(program, 2, options)
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(max(size.value, 1))
    if result == 0:
        library.nvrtcGetCUBIN(program, code)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return result, log.value.decode(), code.raw


@pytest.mark.parametrize("architecture", ["75", "80", "90", "100", "120"])
def test_the_source_compiles_for_each_card_without_a_word(architecture: str) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    result, log, code = compiled(nvrtc(), source, architecture)
    assert result == 0, log
    assert log == ""
    assert len(functions(source)) == 9
    for name in functions(source):
        assert f".text.{name}".encode() in code


def test_a_fault_in_the_source_would_be_seen() -> None:
    result, log, _ = compiled(nvrtc(), SOURCE.read_text(encoding="utf-8") + "\nint broken(", "90")
    assert result != 0
    assert "card.cu" in log


def test_python_and_the_source_agree_on_the_size_of_a_block() -> None:
    assert f"const int THREADS = {THREADS};" in SOURCE.read_text(encoding="utf-8")
