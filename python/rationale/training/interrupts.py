"""Ctrl-C and SIGTERM, which wait for a moment at which weights, their mean and the curves belong together."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Waiting:
    """A handler that only remembers."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came = True


@contextmanager
def interrupts_wait() -> Iterator[None]:
    """Inside the block an interrupt comes only where `let_interrupts_in` stands, or else at its end.

    In another thread than the main one, which gets no signals, nothing changes. An ignored signal stays ignored.

    Raises:
        KeyboardInterrupt: one came, and was not let in before.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = _Waiting()
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    taken = {each: handler for each, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    try:
        for each in taken:
            signal.signal(each, waiting)
        yield
        let_interrupts_in()
    finally:
        for each, handler in taken.items():
            signal.signal(each, handler)


def let_interrupts_in() -> None:
    """Where an interrupt does no harm: raises the one that waits, if there is one.

    Raises:
        KeyboardInterrupt: one came.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if any(isinstance(found := signal.getsignal(each), _Waiting) and found.came for each in _SIGNALS):
        raise KeyboardInterrupt
