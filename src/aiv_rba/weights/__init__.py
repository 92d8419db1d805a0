"""Local weighting schemes behind one protocol."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from aiv_rba import config
from aiv_rba.parallel.ddp import Ranks

Blocks = dict[str, Tensor]
"""A tensor (rows, terms) for each block of loss terms, such as no_slip, tracks, navier_stokes."""


class Weighting(Protocol):
    """Multipliers of the rows that this rank owns."""

    state: Blocks
    """Multipliers, (owned rows, terms) per block; saved in checkpoints."""

    def update(self, residuals: Blocks, rows: dict[str, Tensor]) -> Blocks:
        """Update the multipliers of the given rows from their residuals.

        Parameters
        ----------
        residuals
            (n, terms) per block.
        rows
            (n,) numbers of these rows among the owned ones, per block.

        Returns
        -------
        Blocks
            lambda*, (n, terms) per block, detached.
        """
        ...


class NoWeighting:
    """All multipliers are one."""

    def __init__(self) -> None:
        self.state: Blocks = {}

    def update(self, residuals: Blocks, rows: dict[str, Tensor]) -> Blocks:
        """Ones."""
        return {block: torch.ones_like(values) for block, values in residuals.items()}


class RBA:
    """Residual-based attention; Algorithm 1, Eq. 12.

    lambda <- gamma lambda + eta* |e| / max|e|, lambda* = lambda + lambda_o, with the maximum
    taken over all ranks. The multipliers stay within eta* / (1 - gamma) (Eq. 13); initialisation
    2, eta* = 1 on the first step, may start above it. Blocks without a size keep the weight one.
    """

    def __init__(
        self, settings: config.RBA, sizes: dict[str, tuple[int, int]], ranks: Ranks
    ) -> None:
        self.settings = settings
        self.ranks = ranks
        # A row that has not been visited yet is recognised by its multiplier being zero.
        self.state: Blocks = {
            block: torch.zeros(size, dtype=torch.float64, device=ranks.device)
            for block, size in sizes.items()
        }

    def update(self, residuals: Blocks, rows: dict[str, Tensor]) -> Blocks:
        """One step of Eq. 12."""
        magnitude = {block: residuals[block].detach().abs() for block in self.state}
        largest = self._global_maxima(magnitude)
        weights = {block: torch.ones_like(values) for block, values in residuals.items()}
        for block, e in magnitude.items():
            old = self.state[block][rows[block]]
            eta = self._learning_rate(block, old)
            # Where every residual of a term vanishes there is nothing to attend to.
            normalised = e / largest[block].clamp_min(torch.finfo(e.dtype).tiny)
            new = self.settings.gamma * old + eta * normalised
            self.state[block][rows[block]] = new
            weights[block] = (new + self.settings.offset).to(e.dtype)
        return weights

    def _learning_rate(self, block: str, old: Tensor) -> Tensor | float:
        eta = self.settings.eta_wall if block == "no_slip" else self.settings.eta
        if self.settings.init == 1:
            return eta
        return torch.where(old == 0, 1.0, eta)

    def _global_maxima(self, magnitude: Blocks) -> Blocks:
        local = [e.amax(0) if len(e) else e.new_zeros(e.shape[1]) for e in magnitude.values()]
        joined = self.ranks.max(torch.cat(local))
        parts = torch.split(joined, [len(part) for part in local])
        return dict(zip(magnitude, parts, strict=True))


def make_weighting(
    settings: config.RBA | config.NoWeighting, sizes: dict[str, tuple[int, int]], ranks: Ranks
) -> Weighting:
    """The weighting scheme that the configuration names."""
    if isinstance(settings, config.RBA):
        return RBA(settings, sizes, ranks)
    return NoWeighting()
