"""Optimisers of networks: first-order on mini-batches, and Gauss-Newton on residual rows."""

from __future__ import annotations

from torch import nn

from aiv_rba.optimisers.adam import Adam, distributed
from aiv_rba.optimisers.base import Optimiser
from aiv_rba.optimisers.gauss_newton import GaussNewton
from aiv_rba.optimisers.lbfgs import LBFGS
from aiv_rba.optimisers.soap import SOAP
from aiv_rba.optimisers.ssbroyden import SSBroyden
from aiv_rba.problem import Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import (
    AdamSettings,
    GaussNewtonSettings,
    LBFGSSettings,
    OptimiserSettings,
    SOAPSettings,
    SSBroydenSettings,
)

__all__ = ["Optimiser", "Optimisers"]


class Optimisers:
    """Makes the optimisers of one training, which may have two of them and restarts.

    Parameters
    ----------
    residuals
        Those whose network's parameters are moved.
    ranks
        This process among its peers.
    seed
        Seed of the rows that Gauss-Newton draws.
    """

    def __init__(self, residuals: Residuals, ranks: Ranks, seed: int) -> None:
        self.residuals = residuals
        self.ranks = ranks
        self.seed = seed
        self._wrapped: dict[bool, nn.Module] = {}

    def make(self, settings: OptimiserSettings, scale: float) -> Optimiser:
        """The optimiser that the settings name, with steps `scale` times as long."""
        match settings:
            case SOAPSettings():
                return SOAP(settings, self._distributed(settings.compile), self.ranks, scale)
            case AdamSettings():
                return Adam(settings, self._distributed(settings.compile), self.ranks, scale)
            case LBFGSSettings():
                return LBFGS(settings, self.residuals, self.ranks, scale)
            case SSBroydenSettings():
                return SSBroyden(settings, self.residuals, self.ranks, scale)
            case GaussNewtonSettings():
                return GaussNewton(settings, self.residuals, self.ranks, self.seed, scale)

    def _distributed(self, compile: bool) -> nn.Module:
        # Once per training, as `distributed` asks.
        if compile not in self._wrapped:
            self._wrapped[compile] = distributed(self.residuals, self.ranks, compile=compile)
        return self._wrapped[compile]
