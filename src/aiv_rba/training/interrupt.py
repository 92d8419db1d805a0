"""Stopping a training: SIGTERM, SIGHUP, Ctrl-C, and SIGUSR1, which Slurm sends before its limit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiv_rba.signals import unless_ignored

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


@contextmanager
def noted_signals(note: Callable[[], None]) -> Iterator[None]:
    """Note the signals instead of ending at once, so that the step is finished and saved."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may handle signals; a training in another one cannot be stopped so.
        yield
        return
    heeded = (*SIGNALS, *unless_ignored(signal.SIGHUP))
    before = {number: signal.signal(number, lambda *_: note()) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
