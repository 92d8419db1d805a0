"""Weighting schemes: a multiplier for every residual."""

from __future__ import annotations

from aiv_rba import config
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.problem import Problem
from aiv_rba.weights.annealing import Annealing
from aiv_rba.weights.base import NoWeighting, Weighting
from aiv_rba.weights.causal import Causal
from aiv_rba.weights.rba import RBA
from aiv_rba.weights.self_adaptive import SelfAdaptive

__all__ = ["Weighting", "make_weighting"]


def make_weighting(
    settings: config.Weighting, problem: Problem, ranks: Ranks, seed: int
) -> Weighting:
    """The weighting scheme that the configuration names."""
    match settings:
        case config.RBA():
            return RBA(settings, problem.sizes, ranks)
        case config.SelfAdaptive():
            return SelfAdaptive(settings, problem, ranks, seed)
        case config.Annealing():
            return Annealing(settings, problem, ranks)
        case config.Causal():
            return Causal(settings, problem, ranks)
        case config.NoWeighting():
            return NoWeighting()
