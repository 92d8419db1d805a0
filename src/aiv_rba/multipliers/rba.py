"""Residual-based attention."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aiv_rba.mixture import order_statistics
from aiv_rba.multipliers.base import MultiplierScheme, check_blocks
from aiv_rba.problem import Batch, Blocks
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import RBASettings


class RBA(MultiplierScheme):
    """Residual-based attention; Algorithm 1, Eq. 12.

    lambda <- gamma lambda + eta* |e| / max|e|, lambda* = lambda + lambda_o, with the maximum
    taken over all ranks. The multipliers stay within eta* / (1 - gamma) (Eq. 13); initialisation
    2, eta* = 1 on the first step, may start above it. Blocks without a size keep the multiplier
    one.

    Rows that take turns are seen every m steps only. Where gamma and eta* belong to iterations,
    Eq. 12 is applied m times at once, with the residual that is known,

        lambda <- gamma^m lambda + eta* (1 - gamma^m) / (1 - gamma) |e| / max|e|,

    so that they remember as many steps as other rows, within the same bound.

    With a `quantile` below one, that quantile of |e| takes the place of the maximum, and a
    normalised residual is at most one.

    Raises
    ------
    UserError
        If `eta_by_block` names a block that has no multipliers.
    """

    def __init__(
        self, settings: RBASettings, sizes: dict[str, tuple[int, int]], ranks: Ranks
    ) -> None:
        super().__init__()
        check_blocks("eta_by_block", settings.eta_by_block, sizes)
        self.settings = settings
        self.ranks = ranks
        # A row that has not been visited yet is recognised by its multiplier being zero.
        self.state = {
            block: torch.zeros(size, dtype=torch.float64, device=ranks.device)
            for block, size in sizes.items()
        }
        self.multipliers = self.state

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """One step of Eq. 12."""
        magnitude = {block: residuals[block].detach().abs() for block in self.state}
        largest = self._largest(batch, magnitude)
        weights = {block: torch.ones_like(e) for block, e in residuals.items()}
        for block, e in magnitude.items():
            rows = batch.rows[block]
            old = self.state[block][rows]
            times = batch.elapsed.get(block, 1) if self.settings.per == "iteration" else 1
            # Where every residual of a term vanishes there is nothing to attend to.
            normalised = e / largest[block].clamp_min(torch.finfo(e.dtype).tiny)
            normalised = normalised.clamp_max(1)
            new = self._decay(times) * old + self._rates(block, times, old) * normalised
            self.state[block][rows] = new
            weights[block] = (new + self.settings.offset).to(e.dtype)
        return weights

    def _decay(self, times: int) -> float:
        return float(self.settings.gamma**times)

    def _rates(self, block: str, times: int, old: Tensor) -> Tensor:
        """What Eq. 12 adds for a normalised residual of one, applied so many times, (n, terms)."""
        eta = self.settings.eta_by_block.get(block, self.settings.eta)
        powers = (1 - self._decay(times)) / (1 - self.settings.gamma)
        rates = torch.full_like(old, eta * powers)
        if self.settings.init == 2:
            first = self._decay(times - 1)
            rates.masked_fill_(old == 0, first + eta * (powers - first))
        return rates

    def _largest(self, batch: Batch, magnitude: Blocks) -> Blocks:
        """What the residuals (n, terms) of each block are divided by, (terms,)."""
        if self.settings.quantile == 1:
            return self._global_maxima(magnitude)
        return {block: self._quantiles(e, batch.counts[block]) for block, e in magnitude.items()}

    def _quantiles(self, e: Tensor, count: int) -> Tensor:
        """The smallest value that enough of the `count` rows of all ranks do not exceed."""
        number = math.ceil(self.settings.quantile * count) - 1
        if self.ranks.alone:
            return e.kthvalue(number + 1, dim=0).values
        return order_statistics(e.double(), [number], self.ranks.sum)[0].to(e.dtype)

    def _global_maxima(self, magnitude: Blocks) -> Blocks:
        local = [e.amax(0) if len(e) else e.new_zeros(e.shape[1]) for e in magnitude.values()]
        joined = self.ranks.max(torch.cat(local))
        parts = torch.split(joined, [len(part) for part in local])
        return dict(zip(magnitude, parts, strict=True))
