"""Hands parts to worker processes by Dask: a local cluster, or a scheduler that is there. `rationale[cluster]`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rationale.errors import OptionError, OutputError, RationaleError

_PATIENCE = 30  # seconds for the first worker to come
_AHEAD = 2  # parts under way for each worker: more would only fill memory
# One heap, whose freed memory is kept for the next part: asking the system for it each time costs half as much again.
_WORKER = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(1 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


@contextmanager
def client(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """A Dask client of a local cluster with so many worker processes, or of the scheduler at an address.

    Raises:
        OptionError: Dask is not installed, or nothing answers there.
    """
    try:
        import dask
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise OptionError("workers want Dask: pip install 'rationale[cluster]'") from error
    if scheduler is not None:
        try:
            connected = Client(scheduler, timeout=10)
        except (OSError, ValueError) as error:
            raise OptionError(f"no Dask scheduler answers at {scheduler!r} ({error})") from error
        with connected:
            yield connected
        return
    with (
        dask.config.set({"logging.distributed": "error", "distributed.nanny.pre-spawn-environ": _WORKER}),
        LocalCluster(
            n_workers=workers or 1, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as local,
        Client(local) as connected,
    ):
        yield connected


def compute(
    connected: Any, work: Callable[..., Any], tasks: Sequence[tuple[int, tuple[Any, ...]]]
) -> Iterator[tuple[int, Any]]:
    """Number and result of each task, as they come; what a dead worker had is done by another.

    Raises:
        OutputError: a task killed several workers, or there are no workers.
    """
    from distributed import KilledWorker, as_completed

    waiting = iter(tasks)
    known = _workers(connected)
    numbers: dict[Any, int] = {}
    running = as_completed()

    def submit() -> None:
        task = next(waiting, None)
        if task is not None:
            future = connected.submit(work, *task[1], pure=False)
            numbers[future.key] = task[0]
            running.add(future)

    for _ in range(_AHEAD * known):
        submit()
    for future in running:
        try:
            result = future.result()
        except KilledWorker as error:
            raise OutputError(f"several workers died over the same pictures: {error}") from error
        except RationaleError:
            raise
        except Exception as error:
            raise OutputError(f"a worker failed: {type(error).__name__}: {error}") from error
        yield numbers.pop(future.key), result
        future.release()
        submit()


def _workers(connected: Any) -> int:
    """How many there are; waits for the first."""
    from distributed import TimeoutError as NoneCame

    try:
        connected.wait_for_workers(1, timeout=_PATIENCE)
    except NoneCame as error:
        raise OptionError(f"the Dask scheduler has no workers (waited {_PATIENCE} s)") from error
    return len(connected.scheduler_info()["workers"])
