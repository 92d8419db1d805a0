"""What may end a training early, looked for every few steps by all ranks together."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiv_rba.problem import Batch, Blocks
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.training.finite import FiniteCheck, Terms

# Seconds between two looks, and steps at most.
PAUSE, FARTHEST = 0.2, 50


class Watch:
    """Numbers that are not finite and requests to stop, of any rank.

    A look waits for the device and for the other ranks, so that only as many steps are taken
    without one as fit into a fifth of a second.

    Parameters
    ----------
    terms, batch_of, ranks
        See `FiniteCheck`.

    Attributes
    ----------
    asked
        Whether this rank has been asked to stop.
    stop
        Whether any rank had been, at the last look.
    """

    def __init__(self, terms: Terms, batch_of: Callable[[int], Batch], ranks: Ranks) -> None:
        self.ranks = ranks
        self.finite = FiniteCheck(terms, batch_of, ranks)
        self.asked = self.stop = False
        self.start()

    def start(self) -> None:
        """Start anew, as training does at first and after it went back to a checkpoint."""
        self.finite.forget()
        # The first steps compile; they say nothing about how long the others take.
        self.pause = self.steps = 0
        self.looked_at = time.perf_counter()

    def ask(self) -> None:
        """Ask for a stop."""
        self.asked = True

    def step(self, batch: Batch, residuals: Blocks, *, look: bool) -> None:
        """Note the residuals (n, terms) of a step, and look if it is time or asked for.

        Every rank calls this.

        Raises
        ------
        NotFinite
            If a residual of this step or an earlier one is not finite.
        """
        self.finite.note(batch, residuals)
        self.steps += 1
        if look or self.steps > self.pause:
            self.look()

    def look(self) -> None:
        """Wait for the device and the other ranks, and see.

        Raises
        ------
        NotFinite
            If a residual of a step so far is not finite.
        """
        own = self.finite.failed.tolist()
        # Only now has the device done the steps, which the host launches much faster.
        own += [float(self.asked), self._seconds_per_step()]
        found = self.ranks.max(self.finite.failed.new_tensor(own)).tolist()
        failed, self.stop, slowest = bool(found[0]), bool(found[1]), found[2]
        if failed:
            raise self.finite.failure()
        self.pause = min(int(PAUSE / slowest), FARTHEST)
        self.steps, self.looked_at = 0, time.perf_counter()

    def _seconds_per_step(self) -> float:
        return (time.perf_counter() - self.looked_at) / max(self.steps, 1)
