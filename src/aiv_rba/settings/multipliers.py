"""Settings of the local multipliers."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Count, Fraction, NonNegative, Positive


@dataclass(frozen=True, config=STRICT)
class RBASettings:
    """Residual-based attention, Eq. 12."""

    name: Literal["rba"] = "rba"
    """Chooses this scheme."""
    gamma: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay; the memory of the multipliers is 1 / (1 - gamma) iterations or visits."""
    eta: Positive = 0.1
    """Learning rate eta* of the multipliers."""
    eta_by_block: dict[str, NonNegative] = field(default_factory=dict)
    """Other learning rates eta* of some blocks of loss terms, such as no_slip; a block with 0 keeps
    the lower bound."""
    offset: NonNegative = 1.0
    """Lower bound lambda_o."""
    init: Literal[1, 2] = 1
    """Initialisation of Algorithm 1."""
    quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Quantile of |e| by which residuals are divided; a larger residual counts as one of that size.
    1 is the maximum, as in Eq. 12. A smaller one is not set by a few mismatched rows."""
    per: Literal["iteration", "visit"] = "iteration"
    """What gamma and eta belong to where a step takes a part of the groups (`groups_per_step`): Eq.
    12 holds at every iteration, with the residual at a visit for all since the visit before; or it
    is applied once at each visit, so that a group remembers so many times more iterations."""


@dataclass(frozen=True, config=STRICT)
class SelfAdaptiveSettings:
    """Gradient ascent in the multipliers (McClenny & Braga-Neto 2020)."""

    name: Literal["self_adaptive"] = "self_adaptive"
    """Chooses this scheme."""
    learning_rate: Positive = 5e-3
    """Learning rate of their Adam."""
    start: dict[str, Positive] = field(default_factory=dict)
    """Blocks whose multipliers start anywhere between zero and this; others start at one."""


@dataclass(frozen=True, config=STRICT)
class AnnealingSettings:
    """Learning-rate annealing: one multiplier per block (Wang, Teng & Perdikaris 2021)."""

    name: Literal["annealing"] = "annealing"
    """Chooses this scheme."""
    every: Count = 10
    """Training steps between updates."""
    rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Share alpha of the new value in the moving average."""


@dataclass(frozen=True, config=STRICT)
class CausalSettings:
    """Later times wait for earlier ones (Wang, Sankaran & Perdikaris 2022)."""

    name: Literal["causal"] = "causal"
    """Chooses this scheme."""
    chunks: Count = 32
    """Parts of equal length of the time span."""
    tolerances: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.01, 0.1, 1.0, 10.0, 100.0)
    """Causality parameters epsilon, one after the other."""
    threshold: Fraction = 0.99
    """Smallest weight at which the next tolerance is taken."""


@dataclass(frozen=True, config=STRICT)
class ConstantMultipliersSettings:
    """All multipliers are one."""

    name: Literal["none"] = "none"
    """Chooses this scheme."""


MultiplierSettings = Annotated[
    RBASettings
    | SelfAdaptiveSettings
    | AnnealingSettings
    | CausalSettings
    | ConstantMultipliersSettings,
    Field(discriminator="name"),
]
"""A scheme of local multipliers."""
