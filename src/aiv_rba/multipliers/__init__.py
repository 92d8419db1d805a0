"""Schemes of multipliers: a rule that gives every residual its multiplier."""

from __future__ import annotations

from aiv_rba.multipliers.annealing import Annealing
from aiv_rba.multipliers.base import ConstantMultipliers, MultiplierScheme
from aiv_rba.multipliers.causal import Causal
from aiv_rba.multipliers.rba import RBA
from aiv_rba.multipliers.self_adaptive import SelfAdaptive
from aiv_rba.problem import Problem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import (
    AnnealingSettings,
    CausalSettings,
    ConstantMultipliersSettings,
    MultiplierSettings,
    RBASettings,
    SelfAdaptiveSettings,
)

__all__ = ["MultiplierScheme", "make_scheme"]


def make_scheme(
    settings: MultiplierSettings, problem: Problem, ranks: Ranks, seed: int
) -> MultiplierScheme:
    """The scheme of multipliers that the settings name."""
    match settings:
        case RBASettings():
            return RBA(settings, problem.sizes, ranks)
        case SelfAdaptiveSettings():
            return SelfAdaptive(settings, problem, ranks, seed)
        case AnnealingSettings():
            return Annealing(settings, problem, ranks)
        case CausalSettings():
            return Causal(settings, problem, ranks)
        case ConstantMultipliersSettings():
            return ConstantMultipliers()
