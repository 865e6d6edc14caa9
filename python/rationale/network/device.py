"""Chooses the processor that Caffe runs on."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from rationale.errors import DeviceError
from rationale.network.pycaffe import pycaffe


def has_cuda() -> bool:
    """Whether this Caffe was compiled for CUDA."""
    return hasattr(pycaffe()._caffe.Blob, "_gpu_data_ptr")


def card_count() -> int:
    """How many cards this Caffe can see; none where it was built for the CPU, or there is no driver."""
    return int(pycaffe()._caffe.card_count()) if has_cuda() else 0


def card_summary() -> str:
    """What this Caffe can run on, in words.

    Raises:
        DeviceError: it was built for cards, and their driver is there but of no use.
    """
    if not has_cuda():
        return "CPU only"
    built, driver = pycaffe()._caffe.cuda_versions()
    if not driver:
        return f"CUDA {_dotted(built)}, but there is no driver: it runs on the CPU"
    if driver // 1000 < built // 1000:
        what = f"NVIDIA's driver runs CUDA {_dotted(driver)}, and this Caffe was built for {_dotted(built)}"
        raise DeviceError(f"{what}: update the driver")
    count = pycaffe()._caffe.card_count()
    if not count:
        raise DeviceError("NVIDIA's driver shows no card; in Docker run the image with --gpus all")
    return f"CUDA {_dotted(built)}, {count} card{'s' if count > 1 else ''}"


def _dotted(version: int) -> str:
    """CUDA writes 13.1 as 13010."""
    return f"{version // 1000}.{version % 1000 // 10}"


def select(gpu: int | None) -> None:
    """Runs Caffe on GPU number `gpu`, or on the CPU for None; the choice holds for the calling thread.

    Raises:
        DeviceError: this Caffe has no CUDA, or that card does not exist.
    """
    caffe = pycaffe()
    if gpu is None:
        caffe.set_mode_cpu()
        return
    if not has_cuda():
        raise DeviceError(f"GPU {gpu} was asked for, but this Caffe was built for the CPU; leave --gpu out")
    try:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()
    except RuntimeError as error:
        count = card_count()
        if gpu < count:
            raise DeviceError(f"GPU {gpu} cannot be used: {' '.join(str(error).split())}") from error
        there = f"cards are 0 to {count - 1}" if count else f"no card can be used: {card_summary()}"
        raise DeviceError(f"GPU {gpu} was asked for, but {there}") from error


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Lets Caffe's layers and BLAS use so many threads inside the block; sums then come out the same bit for bit."""
    pycaffe()  # its libraries must be loaded to be limited
    with threadpool_limits(count):
        yield
