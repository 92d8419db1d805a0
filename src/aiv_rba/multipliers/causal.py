"""Causal weights."""

from __future__ import annotations

import torch

from aiv_rba.errors import UserError
from aiv_rba.multipliers.base import MultiplierScheme
from aiv_rba.problem import Batch, Blocks, Problem
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import CausalSettings


class Causal(MultiplierScheme):
    """Later times weigh little until earlier ones are met; Wang, Sankaran & Perdikaris 2022.

    The time span is cut into chunks of equal length. The loss of chunk i has the weight
    exp(-epsilon sum_{k<i} L_k), whose square root is the multiplier. Once the smallest weight
    exceeds the threshold, the next tolerance epsilon is taken.

    Raises
    ------
    UserError
        If the problem does not start from an initial state.
    """

    def __init__(self, settings: CausalSettings, problem: Problem, ranks: Ranks) -> None:
        super().__init__()
        if problem.time_span is None:
            raise UserError(
                "multipliers: found causal, expected another scheme: this problem does not go on "
                "in time from an initial state"
            )
        self.settings = settings
        self.block = problem.residuals.governing
        self.first, self.last = problem.time_span
        self.ranks = ranks
        # Those of the owned rows as they were last seen, for the history and the pictures.
        rows, _ = problem.sizes[self.block]
        self.multipliers = {
            self.block: torch.ones(rows, 1, dtype=torch.float64, device=ranks.device)
        }
        self.state = self.multipliers
        self.tolerances = torch.tensor(
            settings.tolerances, dtype=torch.float64, device=ranks.device
        )
        self.shared = {"tolerance_number": torch.zeros(1, dtype=torch.int64, device=ranks.device)}

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """Weights from the losses of the chunks as they are now."""
        weights = {block: torch.ones_like(e) for block, e in residuals.items()}
        e = residuals[self.block].detach()
        chunks = self.settings.chunks
        elapsed = (batch.inputs[self.block][0][:, 0] - self.first) / (self.last - self.first)
        chunk = (elapsed * chunks).long().clamp(0, chunks - 1)

        sums = torch.zeros(2, chunks, dtype=torch.float64, device=e.device)
        sums[0].index_add_(0, chunk, e.double().square().sum(1))
        sums[1].index_add_(0, chunk, torch.ones_like(chunk, dtype=torch.float64))
        total, count = self.ranks.sum(sums)
        losses = total / count.clamp_min(1)

        number = self.shared["tolerance_number"]
        earlier = losses.cumsum(0) - losses
        weight = torch.exp(-self.tolerances[number] * earlier)
        met = weight.amin() > self.settings.threshold
        number += met & (number + 1 < len(self.tolerances))
        multipliers = weight.sqrt()[chunk].unsqueeze(1)
        self.multipliers[self.block][batch.rows[self.block]] = multipliers
        weights[self.block] = multipliers.expand_as(e).to(e.dtype)
        return weights
