"""The failure of one rank, told to the others: a collective that waits for it would not end.

It goes through the store at which the ranks met, which works where collectives no longer do. A rank
whose main thread is free to learn of it raises what the other one told. One that stays in a
collective, as on GPUs, ends after a while with a line that says why.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from aiv_rba.errors import RankError, UserError, first_line
from aiv_rba.ranks.environment import find_rank
from aiv_rba.terminal import fail

# Keys of the store: what the first failure was, and how many ranks have heard of it.
FIRST, HEARD = "aiv_rba/failure", "aiv_rba/heard"
# Seconds between looks into the store, and for an answer of it.
INTERVAL = 0.5
ANSWER = timedelta(seconds=5)
# Seconds for the others to hear of the failure of the rank that keeps the store.
TIME_TO_HEAR = 3.0
# Seconds that other ranks wait for the first one to print an error that all of them meet.
TIME_TO_PRINT = 10.0
# Seconds after which a rank ends that stays in what it waits for.
TIME_TO_LEAVE = 15.0


class Failures:
    """What another rank failed of.

    Parameters
    ----------
    store
        Store of all ranks.
    rank, size
        This rank, and the number of ranks.

    Attributes
    ----------
    cause
        The first failure of another rank, once it is known.
    """

    def __init__(self, store: TCPStore, rank: int, size: int) -> None:
        # A connection of its own: NCCL waits in the other one when it starts.
        self.store = store.clone()  # type: ignore[attr-defined]
        self.store.set_timeout(ANSWER)
        self.rank = rank
        self.size = size
        self.cause: str | None = None
        self._heard = False

    def tell(self, error: BaseException) -> None:
        """Tell the others why this rank fails, if it is the first one that does."""
        # A store that is gone cannot be told anything, and its rank has ended before.
        with suppress(RuntimeError):
            self.store.compare_set(FIRST, "", f"rank {self.rank} failed: {_why(error)}")
            self._note_heard()
            deadline = time.monotonic() + TIME_TO_HEAR
            # The store ends with the first rank.
            while self.rank == 0 and self.store.add(HEARD, 0) < self.size:
                if time.monotonic() > deadline:
                    break
                time.sleep(INTERVAL / 5)

    def hear(self) -> str | None:
        """The cause, as far as it is known by now."""
        with suppress(RuntimeError):
            if self.cause is None and self.store.check([FIRST]):
                told = self.store.get(FIRST).decode()
                if not told.startswith(f"rank {self.rank} "):
                    self.cause = told
                    self._note_heard()
        return self.cause

    def _note_heard(self) -> None:
        if not self._heard:
            self._heard = True
            self.store.add(HEARD, 1)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """End this process if another rank fails and this one stays in what it waits for."""
        left = threading.Event()
        watch = threading.Thread(target=self._watch, args=(left,), daemon=True)
        watch.start()
        try:
            yield
        finally:
            left.set()
            watch.join()

    def _watch(self, left: threading.Event) -> None:
        while not left.wait(INTERVAL):
            if self.hear() is not None:
                break
        if left.wait(TIME_TO_LEAVE):
            return
        fail(f"aiv-rba: error: rank {self.rank} ends, because {self.cause}")
        sys.stderr.flush()
        # The main thread is in a collective and can raise nothing.
        os._exit(2)


def leave_error_to_first_rank(
    error: UserError, environment: Mapping[str, str] = os.environ
) -> bool:
    """Whether this rank leaves it to the first one to print an error that all ranks meet.

    If so, it waits ten seconds before it returns: a launcher ends all ranks when one of them stops,
    and the first one must have printed by then.
    """
    try:
        rank, _, _ = find_rank(environment)
    except UserError:
        return False
    if rank == 0 or isinstance(error, RankError):
        return False
    # The launcher's signal may come as an interrupt.
    with suppress(KeyboardInterrupt):
        time.sleep(TIME_TO_PRINT)
    return True


def _why(error: BaseException) -> str:
    line = first_line(error)
    return line if isinstance(error, UserError) else f"{type(error).__name__}: {line}"
