"""What Caffe can run on, as the doctor says it; the answers of a build for CUDA are played."""

from types import SimpleNamespace

import pytest

from rationale.errors import DeviceError
from rationale.network import device


def play(monkeypatch: pytest.MonkeyPatch, driver: int, cards: int) -> None:
    """A Caffe built for CUDA 13.0 beside a driver (0: none) that shows so many cards."""
    blob = type("Blob", (), {"_gpu_data_ptr": 0})
    answers = {"cuda_versions": lambda: (13000, driver), "card_count": lambda: cards}
    module = SimpleNamespace(_caffe=SimpleNamespace(Blob=blob, **answers))
    monkeypatch.setattr(device, "pycaffe", lambda: module)


def test_a_caffe_for_the_cpu_says_so() -> None:
    if device.has_cuda():
        pytest.skip("this Caffe was built for CUDA")
    assert device.card_summary() == "CPU only"


@pytest.mark.parametrize(
    ("driver", "cards", "summary"),
    [
        (0, 0, "CUDA 13.0, but there is no driver: it runs on the CPU"),
        (13000, 1, "CUDA 13.0, 1 card"),
        (13010, 2, "CUDA 13.0, 2 cards"),
        (14000, 1, "CUDA 13.0, 1 card"),
    ],
)
def test_driver_and_cards_are_told(monkeypatch: pytest.MonkeyPatch, driver: int, cards: int, summary: str) -> None:
    play(monkeypatch, driver, cards)
    assert device.card_summary() == summary


@pytest.mark.parametrize(
    ("driver", "cards", "message"),
    [(12080, 1, r"runs CUDA 12\.8, and this Caffe was built for 13\.0"), (13000, 0, "--gpus all")],
)
def test_a_driver_of_no_use_is_a_fault(monkeypatch: pytest.MonkeyPatch, driver: int, cards: int, message: str) -> None:
    play(monkeypatch, driver, cards)
    with pytest.raises(DeviceError, match=message):
        device.card_summary()
