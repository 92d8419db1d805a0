"""Learning-rate annealing."""

from __future__ import annotations

import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.multipliers.base import MultiplierScheme
from aiv_rba.problem import Batch, Blocks, Problem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import AnnealingSettings


class Annealing(MultiplierScheme):
    """One multiplier per block of data or conditions; Wang, Teng & Perdikaris 2021, Algorithm 1.

    Its square lambda_i moves by a share alpha towards max|grad L_r| / mean|grad lambda_i L_i|, the
    gradients being those of the losses of the differential equations and of block i in the
    network's parameters. The factor lambda_i in the denominator is in the code that the authors
    published (GradientPathologiesPINNs); without it a block that is met well weighs ever more.

    Raises
    ------
    UserError
        If there is no such block, so nothing to balance.
    """

    def __init__(self, settings: AnnealingSettings, problem: Problem, ranks: Ranks) -> None:
        super().__init__()
        self.settings = settings
        self.problem = problem
        self.ranks = ranks
        self.shared = {
            block: torch.ones(1, dtype=torch.float64, device=ranks.device)
            for block in problem.residuals.terms
            if block != problem.residuals.governing
        }
        if not self.shared:
            raise UserError(
                "multipliers: found annealing, expected another scheme: the differential equation "
                "is the only term of this loss"
            )
        self.multipliers = self.shared

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """One step of annealing, every so many training steps."""
        if batch.step % self.settings.every == 0:
            self._anneal(batch)
        weights = {block: torch.ones_like(e) for block, e in residuals.items()}
        return {b: w * self.shared[b].to(w) if b in self.shared else w for b, w in weights.items()}

    def _anneal(self, batch: Batch) -> None:
        gradients = self._gradients(batch)
        largest = gradients[self.problem.residuals.governing].abs().amax().double()
        for block, multiplier in self.shared.items():
            weight = multiplier.square()
            mean = weight * gradients[block].abs().mean().double()
            alpha = self.settings.rate
            moved = ((1 - alpha) * weight + alpha * largest / mean).sqrt()
            # A block without any gradient has nothing to be balanced.
            multiplier.copy_(torch.where(mean > 0, moved, multiplier))

    def _gradients(self, batch: Batch) -> Blocks:
        """Gradient (P,) of every block's loss over all ranks, without multipliers."""
        residuals = self.problem.residuals
        parameters = list(residuals.parameters())
        gradients = {}
        with torch.enable_grad():
            # Once more, eagerly: a compiled or distributed graph serves a single backward pass.
            for block, e in residuals(batch.inputs).items():
                squares = e.square().sum(0) / batch.counts[block]
                weights = self.problem.weights[block]
                loss = torch.stack([w * s for w, s in zip(weights, squares, strict=True)]).sum()
                parts = torch.autograd.grad(
                    loss, parameters, retain_graph=True, materialize_grads=True
                )
                gradients[block] = self.ranks.sum(_flat(parts))
        return gradients


def _flat(parts: tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
