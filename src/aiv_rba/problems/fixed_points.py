"""A problem whose points all take part in every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.ranks.ddp import Ranks

Points = Mapping[str, Tensor | tuple[Tensor, ...]]
ONE_RANK = Ranks(0, 1, torch.device("cpu"))


class FixedPoints:
    """Residuals on points that do not change.

    Parameters
    ----------
    residuals
        The network, and a method for each block.
    points
        Arguments of each block's residuals, each (n, ...); the first are its points.
    weights
        Global weights of blocks; 1 where a block is left out.
    attended
        Blocks whose rows have multipliers; that of the differential equations if left out.
    errors
        Measures of success for the history.
    ranks
        This process among its peers, which share the rows.
    """

    def __init__(
        self,
        residuals: Residuals,
        points: Points,
        *,
        weights: Mapping[str, float] | None = None,
        attended: Sequence[str] | None = None,
        errors: Callable[[], dict[str, float]] | None = None,
        ranks: Ranks = ONE_RANK,
    ) -> None:
        self.residuals = residuals
        self.ranks = ranks
        self.time_span: tuple[float, float] | None = None
        whole = {b: p if isinstance(p, tuple) else (p,) for b, p in points.items()}
        weights = weights or {}
        self.weights = {
            block: [float(weights.get(block, 1.0))] * len(residuals.terms[block]) for block in whole
        }
        self.counts = {block: len(parts[0]) for block, parts in whole.items()}
        self.inputs = {
            block: tuple(part[ranks.share(len(part))] for part in parts)
            for block, parts in whole.items()
        }
        self.lengths = {block: ranks.longest_share(n) for block, n in self.counts.items()}
        self.state: dict[str, Tensor] = {}
        self.rows = {
            block: torch.arange(len(parts[0]), device=ranks.device)
            for block, parts in self.inputs.items()
        }
        attended = (residuals.governing,) if attended is None else attended
        self.sizes = {
            block: (len(rows), len(residuals.terms[block]))
            for block, rows in self.rows.items()
            if block in attended
        }
        self._errors = errors

    def batch(self, step: int) -> Batch:
        """All points."""
        firsts = {block: self.ranks.share(count).start for block, count in self.counts.items()}
        return Batch(step, self.inputs, self.rows, self.counts, firsts)

    def factors(self, batch: Batch, residuals: Blocks) -> Blocks:
        """None but the multipliers."""
        return {}

    def adapt(self, step: int, history: Sequence[dict[str, float]]) -> dict[str, float]:
        """Nothing: weights are fixed."""
        return {}

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """What was given; the root mean square of the residuals otherwise."""
        if self._errors is not None:
            return self._errors()
        found = self.residuals(self.inputs)
        return {
            f"rms_{block}": float(
                (self.ranks.sum(e.double().square().sum()) / self.counts[block] / e.shape[1]).sqrt()
            )
            for block, e in found.items()
        }
