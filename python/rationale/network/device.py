"""Chooses the processor that Caffe runs on."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from rationale.errors import DeviceError
from rationale.network.pycaffe import pycaffe


def has_cuda() -> bool:
    """Whether this Caffe was compiled for CUDA."""
    return hasattr(pycaffe()._caffe.Blob, "_gpu_data_ptr")


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
        raise DeviceError(f"GPU {gpu} cannot be used: {error}") from error


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Lets Caffe's layers and BLAS use so many threads inside the block; sums then come out the same bit for bit."""
    pycaffe()  # its libraries must be loaded to be limited
    with threadpool_limits(count):
        yield
