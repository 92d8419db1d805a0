"""Signals that ask a command to end, as an exception, so that it leaves no temporary file."""

from __future__ import annotations

import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Seconds after which it is tried again where no exception can be raised.
AGAIN = 0.01


def unless_ignored(*numbers: signal.Signals) -> tuple[signal.Signals, ...]:
    """Those of the signals that are heeded; `nohup` has SIGHUP ignored."""
    return tuple(n for n in numbers if signal.getsignal(n) is not signal.SIG_IGN)


@contextmanager
def raised_as_interrupt() -> Iterator[None]:
    """Raise KeyboardInterrupt, with the signal's name, where a signal would end the process."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may handle signals.
        yield
        return
    before = {number: signal.signal(number, _raise) for number in unless_ignored(*ENDING)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    if _drops_exceptions(frame):
        signal.signal(signal.SIGALRM, lambda _, later: _raise(number, later))
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
        return
    # A second one must not disturb the removal of what the first one leaves.
    for other in unless_ignored(*ENDING):
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt(signal.Signals(number).name)


def _drops_exceptions(frame: FrameType | None) -> bool:
    """Whether it runs in the callback of a weak reference or a destructor, as h5py has many."""
    while frame is not None:
        if frame.f_code.co_filename == weakref.__file__ or frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
