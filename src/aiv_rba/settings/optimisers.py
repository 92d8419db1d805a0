"""Settings of the optimisers."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Auto, Count, Fraction, Positive


@dataclass(frozen=True, config=STRICT)
class AdamSettings:
    """Adam with exponential decay of the learning rate."""

    name: Literal["adam"] = "adam"
    """Chooses this optimiser."""
    iterations: Count = 250_000
    """Training steps."""
    learning_rate: Positive = 2e-3
    """Initial learning rate."""
    final_learning_rate: Positive = 1.5e-4
    """Final learning rate."""
    decay: Fraction = 0.9
    """Factor of each decay; the interval follows from the two learning rates."""
    compile: bool = True
    """Compile the residuals with torch.compile where a compiler is present."""
    cuda_graphs: bool = False
    """Replay the kernels of the compiled residuals as one CUDA graph, which a step of few rows on a
    GPU gains from (torch.compile's mode reduce-overhead). Not run on a GPU yet."""
    rows_at_once: Count | Literal["all", "fits"] = "all"
    """Rows that a rank evaluates at a time, of all blocks together: all of a step, so many, or what
    fits into half of its memory. A step of more rows adds up the gradients of its parts."""

    @model_validator(mode="after")
    def _decays(self) -> Self:
        if self.final_learning_rate > self.learning_rate:
            raise ValueError(
                f"found final_learning_rate: {self.final_learning_rate:g} with learning_rate: "
                f"{self.learning_rate:g}, expected at most the same"
            )
        return self


@dataclass(frozen=True, config=STRICT)
class SOAPSettings(AdamSettings):
    """SOAP, which is Adam in the eigenbases of the gradients' covariances (Vyas et al. 2025)."""

    name: Literal["soap"] = "soap"  # type: ignore[assignment]
    """Chooses this optimiser."""
    renewal: Count = 10
    """Steps until the eigenbases are renewed."""


@dataclass(frozen=True, config=STRICT)
class GaussNewtonSettings:
    """Recursive Gauss-Newton with damping, for networks of a few thousand parameters."""

    name: Literal["gauss_newton"] = "gauss_newton"
    """Chooses this optimiser."""
    iterations: Count = 200
    """Training steps."""
    damping: Positive = 1e-3
    """Initial damping, relative to the diagonal of J^T J or to its mean."""
    scaling: Literal["marquardt", "levenberg"] = "marquardt"
    """Damp every parameter by its own curvature (Marquardt), or all alike (Levenberg)."""
    acceleration: bool = False
    """Geodesic acceleration: follow the bend of the residuals (Transtrum & Sethna 2012)."""
    smallest_damping: Positive = 1e-9
    """Lower bound of the damping."""
    damping_update: Literal["factor_three", "gain_ratio"] = "factor_three"
    """Change the damping by factors of three, or by how well a step was predicted (Nielsen)."""
    trials: Count = 6
    """Tries of one step, each with more damping."""
    rows: tuple[Count, ...] | Auto = "auto"
    """Points of each block of one step over all ranks, drawn at random: of wall (where no-slip is
    a loss term), tracks and interior. auto: 300, 2000 and 1200, or all on known problems."""
    redraw: Count = 1
    """Steps until other points are drawn."""
    importance_sampling: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the points drawn in proportion to their residuals; the others are drawn evenly."""
    curvature_memory: Positive | None = 10.0
    """The curvature J^T J is averaged over earlier steps. This memory grows by one draw of points
    in so many steps: a smaller number averages over more. null: use the points of the present step
    alone, and find the step in the space of the rows if these are fewer than the parameters."""
    curvature_memory_from: Annotated[int, Field(ge=0)] = 10
    """Step from which on earlier steps are remembered; the curvature of the first ones is soon
    wrong."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Part of the last step towards which the damping pulls the next one (SPRING)."""


@dataclass(frozen=True, config=STRICT)
class LBFGSSettings:
    """L-BFGS with a strong Wolfe line search, always on the batch of its first step."""

    name: Literal["lbfgs"] = "lbfgs"
    """Chooses this optimiser."""
    iterations: Count = 2000
    """Training steps."""
    pairs: Count = 50
    """Pairs of steps and gradient changes that the approximate Hessian is made of."""
    compile: bool = True
    """Compile the residuals with torch.compile where a compiler is present."""


@dataclass(frozen=True, config=STRICT)
class SSBroydenSettings:
    """Self-scaled Broyden method (Al-Baali 1998), always on the batch of its first step."""

    name: Literal["ssbroyden"] = "ssbroyden"
    """Chooses this optimiser."""
    iterations: Count = 2000
    """Training steps."""
    compile: bool = True
    """Compile the residuals with torch.compile where a compiler is present."""


FIXED_BATCHES = (LBFGSSettings, SSBroydenSettings)
"""Optimisers that take the batch of their first step at every step."""

OptimiserSettings = Annotated[
    AdamSettings | SOAPSettings | GaussNewtonSettings | LBFGSSettings | SSBroydenSettings,
    Field(discriminator="name"),
]
"""An optimiser."""
