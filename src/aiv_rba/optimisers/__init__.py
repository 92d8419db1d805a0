"""Optimisers of networks: first-order on mini-batches, and Gauss-Newton on residual rows."""

from __future__ import annotations

from torch import nn

from aiv_rba.optimisers.adam import Adam
from aiv_rba.optimisers.base import Optimiser
from aiv_rba.optimisers.compilation import compiled
from aiv_rba.optimisers.gauss_newton import GaussNewton
from aiv_rba.optimisers.lbfgs import LBFGS
from aiv_rba.optimisers.memory import parts_that_fit
from aiv_rba.optimisers.ssbroyden import SSBroyden
from aiv_rba.problem import Problem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import (
    AdamSettings,
    GaussNewtonSettings,
    LBFGSSettings,
    OptimiserSettings,
    SSBroydenSettings,
)

__all__ = ["Optimiser", "Optimisers"]


class Optimisers:
    """Makes the optimisers of one training, which may have two of them and restarts.

    Parameters
    ----------
    problem
        Its residuals' parameters are moved.
    ranks
        This process among its peers.
    seed
        Seed of the rows that Gauss-Newton draws.
    """

    def __init__(self, problem: Problem, ranks: Ranks, seed: int) -> None:
        self.problem = problem
        self.ranks = ranks
        self.seed = seed

    def make(self, settings: OptimiserSettings, scale: float) -> Optimiser:
        """The optimiser that the settings name, with steps `scale` times as long."""
        residuals = self.problem.residuals
        match settings:
            case AdamSettings():
                parts = self._parts(settings)
                return Adam(settings, self._forward(settings, parts), self.ranks, scale, parts)
            case LBFGSSettings():
                return LBFGS(settings, residuals, self.ranks, scale)
            case SSBroydenSettings():
                return SSBroyden(settings, residuals, self.ranks, scale)
            case GaussNewtonSettings():
                return GaussNewton(settings, residuals, self.ranks, self.seed, scale)

    def _parts(self, settings: AdamSettings) -> int:
        """Parts in which a step is taken, the same on all ranks."""
        problem, rows = self.problem, settings.rows_at_once
        if rows == "all":
            return 1
        if rows == "fits":
            return parts_that_fit(problem.residuals, problem.batch(0), self.ranks)
        return -(-sum(problem.lengths.values()) // rows)

    def _forward(self, settings: AdamSettings, parts: int) -> nn.Module:
        if not settings.compile:
            return self.problem.residuals
        lengths = {block: -(-length // parts) for block, length in self.problem.lengths.items()}
        return compiled(self.problem.residuals, lengths, cuda_graphs=settings.cuda_graphs)
