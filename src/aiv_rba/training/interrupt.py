"""Stopping a training: SIGTERM, SIGHUP, Ctrl-C, and SIGUSR1, which Slurm sends before its limit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from aiv_rba.ranks.ddp import Ranks
from aiv_rba.signals import unless_ignored

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


class StopRequest:
    """A request to stop, which any rank may receive."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.received = False

    def by_any_rank(self) -> bool:
        """Whether any rank has been asked; a collective, so every rank calls this."""
        asked = torch.tensor([float(self.received)], device=self.ranks.device)
        return bool(self.ranks.max(asked))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = True


@contextmanager
def stop_request(ranks: Ranks) -> Iterator[StopRequest]:
    """Note the signals instead of ending at once, so that the step is finished and saved."""
    request = StopRequest(ranks)
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may handle signals; a training in another one cannot be stopped so.
        yield request
        return
    heeded = (*SIGNALS, *unless_ignored(signal.SIGHUP))
    before = {number: signal.signal(number, request._note) for number in heeded}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
