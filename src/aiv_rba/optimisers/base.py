"""What the training loop asks of an optimiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from aiv_rba.problem import Batch, Blocks

Weigh = Callable[[Batch, Blocks], Blocks]
"""Gives the factor (n, terms) of each residual row of a batch, from its residuals."""


class Optimiser(Protocol):
    """Takes steps that lower the sum of squares of weighted residual rows."""

    @property
    def diagnostics(self) -> dict[str, float]:
        """Learning rate, damping or step length by name, for the history."""
        ...

    def step(self, batch: Batch, weigh: Weigh) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        ...
