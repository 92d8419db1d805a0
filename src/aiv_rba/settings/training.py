"""Settings of the training loop, the same for all problems."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.multipliers import MultiplierSettings, RBASettings
from aiv_rba.settings.optimisers import FIXED_BATCHES, GaussNewtonSettings, OptimiserSettings
from aiv_rba.settings.types import STRICT, Count, NonNegative, Positive, Seed


@dataclass(frozen=True, config=STRICT)
class LoopSettings:
    """What the training loop needs to know, the same for all problems."""

    multipliers: MultiplierSettings = field(default_factory=RBASettings)
    """Local multipliers."""
    optimiser: OptimiserSettings = field(default_factory=GaussNewtonSettings)
    """The optimiser."""
    second_optimiser: OptimiserSettings | None = None
    """A second optimiser, which continues where the first one ends."""
    precision: Literal["single", "double"] = "double"
    """Floating-point precision."""
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Precision of matrix products of single-precision numbers. On a GPU high and medium are
    TensorFloat-32, of three digits; on some processors medium is bfloat16, of two. Close to an
    exact solution these cost a factor of about 1.4 and 5.5 in accuracy (docs/large-data.md). Where
    a machine has no such products no more than rounding changes."""
    history_every: Count = 5
    """Steps between rows of the history."""
    checkpoint_every: Count = 50
    """Steps between checkpoints."""
    settled: NonNegative | None = None
    """Stop Gauss-Newton when the held-out errors no longer fall and the loss of the equations falls
    by less than this part of the whole loss in 20 steps; null: never stop before the last step."""
    averaged_steps: Annotated[int, Field(ge=0)] = 0
    """Number of last steps of Gauss-Newton over which the parameters are averaged at the end, at
    most a quarter of all steps; 0: none."""
    minutes: Positive | None = None
    """Stop after so many minutes of training; null: no limit."""
    restarts: Annotated[int, Field(ge=0)] = 0
    """How often training may return to its last checkpoint and continue with steps half as long if
    a number is not finite."""
    seed: Seed = 0
    """Seed of the network and of the order of the mini-batches."""

    @property
    def iterations(self) -> int:
        """Training steps of both optimisers."""
        return self.optimiser.iterations + (
            self.second_optimiser.iterations if self.second_optimiser else 0
        )

    def optimiser_at(self, step: int) -> OptimiserSettings:
        """The optimiser that takes this step, counted from 0."""
        if self.second_optimiser is None or step < self.optimiser.iterations:
            return self.optimiser
        return self.second_optimiser

    def batch_at(self, step: int) -> int:
        """Number of the batch that a step takes, counted from 0: its own, or the optimiser's first.

        L-BFGS and SSBroyden learn the curvature from how the gradient of one loss changes.
        """
        optimiser = self.optimiser_at(step)
        first = 0 if optimiser is self.optimiser else self.optimiser.iterations
        return first if isinstance(optimiser, FIXED_BATCHES) else step

    @property
    def few_large_steps(self) -> bool:
        """Whether Gauss-Newton is the only optimiser; others take thousands of small steps."""
        return isinstance(self.optimiser, GaussNewtonSettings) and self.second_optimiser is None
