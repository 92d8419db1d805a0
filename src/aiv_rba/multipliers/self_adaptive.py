"""Self-adaptive weights."""

from __future__ import annotations

import torch
from torch import Tensor

from aiv_rba.multipliers.base import MultiplierScheme, check_blocks
from aiv_rba.problem import Batch, Blocks, Problem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import SelfAdaptiveSettings

# Adam's own constants (Kingma & Ba 2015).
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class SelfAdaptive(MultiplierScheme):
    """Gradient ascent of the loss in the multipliers; McClenny & Braga-Neto 2020.

    Their multipliers ascend while the network's parameters descend, both by Adam from the same
    loss, so a step is taken with the multipliers before their update. The gradient of
    <(lambda e)^2> is 2 lambda e^2 / n; Adam does not feel its constant factor. Adam's moments
    belong to rows, as the multipliers do, so a row that a step leaves out does not move.

    Raises
    ------
    UserError
        If `start` names a block that the problem does not have.
    """

    def __init__(
        self, settings: SelfAdaptiveSettings, problem: Problem, ranks: Ranks, seed: int
    ) -> None:
        super().__init__()
        self.settings = settings
        check_blocks("start", settings.start, problem.residuals.terms)

        def filled(value: float) -> Blocks:
            return {
                block: torch.full(size, value, dtype=torch.float64, device=ranks.device)
                for block, size in problem.sizes.items()
            }

        self.multipliers = filled(1.0)
        generator = torch.Generator().manual_seed(seed)
        for block, largest in settings.start.items():
            own = self.multipliers[block]
            rows = int(ranks.sum(torch.tensor([len(own)], device=own.device)))
            # Drawn for the rows of all ranks, so that their number does not matter.
            whole = torch.rand(rows, own.shape[1], generator=generator, dtype=own.dtype)
            own.copy_(largest * whole[ranks.share(rows)])
        self.first, self.second = filled(0.0), filled(0.0)
        # Updates of each row, for the bias correction.
        self.visits = {block: values[:, :1].clone() for block, values in filled(0.0).items()}
        self.state = {
            **self.multipliers,
            **{f"{block}_first_moment": values for block, values in self.first.items()},
            **{f"{block}_second_moment": values for block, values in self.second.items()},
            **{f"{block}_visits": values for block, values in self.visits.items()},
        }

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """One step of ascent."""
        weights = {block: torch.ones_like(e) for block, e in residuals.items()}
        for block, multipliers in self.multipliers.items():
            rows, e = batch.rows[block], residuals[block].detach()
            old = multipliers[rows]
            weights[block] = old.to(e.dtype)
            multipliers[rows] = old + self._ascent(block, rows, old * e.square())
        return weights

    def _ascent(self, block: str, rows: Tensor, gradient: Tensor) -> Tensor:
        """Adam's step (n, terms) of these rows."""
        first, second = self.first[block], self.second[block]
        visits = self.visits[block]
        first[rows] = BETA_1 * first[rows] + (1 - BETA_1) * gradient
        second[rows] = BETA_2 * second[rows] + (1 - BETA_2) * gradient.square()
        visits[rows] += 1
        mean = first[rows] / (1 - BETA_1 ** visits[rows])
        square = second[rows] / (1 - BETA_2 ** visits[rows])
        return self.settings.learning_rate * mean / (square.sqrt() + EPSILON)
