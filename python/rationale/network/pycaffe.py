"""Imports Caffe: quietly unless asked, with a clear word when it is missing, and its failures as our errors."""

import ctypes
import functools
import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from rationale.cores import follow_limits
from rationale.errors import NetworkError

_QUIET, _TALKATIVE = "3", "0"  # glog: 0 info, 1 warning, 2 error, 3 fatal


def be_verbose() -> None:
    """Shows on standard error what was understood of files, and Caffe's log, if Caffe was not used before."""
    os.environ["GLOG_minloglevel"] = _TALKATIVE
    log = logging.getLogger("rationale")
    log.setLevel(logging.INFO)
    if not log.handlers:
        log.addHandler(logging.StreamHandler())


@functools.cache
def pycaffe() -> ModuleType:
    """The `caffe` module.

    Raises:
        NetworkError: pycaffe is not installed, or a library it needs is gone.
    """
    os.environ.setdefault("GLOG_minloglevel", _QUIET)
    os.environ.setdefault("GLOG_logtostderr", "1")
    # Threads that wait for work sleep: spinning ones starve BLAS's own, and every other process of the machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    follow_limits()
    try:
        module = importlib.import_module("caffe")
        os.register_at_fork(after_in_child=_work_on_one_thread)
        return module
    except ImportError as error:
        raise NetworkError(f"Caffe cannot be imported ({error}); `make setup` builds and installs it") from error


def _work_on_one_thread() -> None:
    """In a forked child the parent's OpenMP threads do not exist, and work given to them would never end."""
    # Through Caffe's own library, which finds the OpenMP that it uses: a wheel brings one of another name.
    ctypes.CDLL(pycaffe()._caffe.__file__).omp_set_num_threads(1)


@functools.cache
def messages() -> ModuleType:
    """Caffe's protobuf messages (`caffe_pb2`)."""
    pycaffe()
    return importlib.import_module("caffe.proto.caffe_pb2")


@functools.cache
def layer_types() -> frozenset[str]:
    """Names of the layer types that this build of Caffe knows."""
    return frozenset(pycaffe().layer_type_list())


@contextmanager
def caffe_errors(what: str) -> Iterator[None]:
    """Turns a failed CHECK inside the block into a NetworkError that begins with `what`."""
    try:
        yield
    except RuntimeError as error:
        message = " ".join(str(error).split())
        raise NetworkError(f"{what}: Caffe says: {message}") from error
    except UnicodeEncodeError as error:
        raise NetworkError(f"{what}: Caffe cannot be told a name that is not UTF-8; rename it") from error
