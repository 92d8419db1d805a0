"""The loss of all ranks and its gradient, for optimisers that search along lines."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aiv_rba.problem import Batch, Blocks
from aiv_rba.ranks.ddp import Ranks


class Objective:
    """Loss of one batch whose multipliers stay as they are at the first evaluation.

    Gradients are summed over ranks by hand: a line search needs the loss of all ranks too, and
    every rank takes the same decisions from the same numbers.

    Parameters
    ----------
    forward
        The residuals, perhaps compiled.
    parameters
        What the gradient is with respect to.
    batch, weigh
        Its rows on this rank, and what gives their factors.

    Attributes
    ----------
    rows
        Weighted residual rows (n, terms) of each block at the first evaluation.
    weights
        Their factors (n, terms).
    """

    def __init__(
        self,
        forward: nn.Module,
        parameters: list[nn.Parameter],
        ranks: Ranks,
        batch: Batch,
        weigh: Callable[[Batch, Blocks], Blocks],
    ) -> None:
        self.forward = forward
        self.parameters = parameters
        self.ranks = ranks
        self.batch = batch
        self.weigh = weigh
        self.rows: Blocks = {}
        self.weights: Blocks = {}

    def __call__(self) -> tuple[float, Tensor]:
        """Loss, and its gradient (P,), with the parameters as they are."""
        e: Blocks = self.forward(self.batch.inputs)
        if not self.weights:
            self.weights = self.weigh(self.batch, e)
        rows = {block: self.weights[block] * values for block, values in e.items()}
        if not self.rows:
            self.rows = rows
        own = torch.stack([values.square().sum() for values in rows.values()]).sum()
        parts = torch.autograd.grad(own, self.parameters, materialize_grads=True)
        gradient = self.ranks.sum(nn.utils.parameters_to_vector(parts))
        return float(self.ranks.sum(own.detach())), gradient
