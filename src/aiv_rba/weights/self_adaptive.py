"""Self-adaptive weights."""

from __future__ import annotations

import torch

from aiv_rba import config
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.problem import Batch, Blocks
from aiv_rba.weights.base import Weighting

# Adam's own constants (Kingma & Ba 2015).
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


class SelfAdaptive(Weighting):
    """Gradient ascent of the loss in the multipliers; McClenny & Braga-Neto 2020.

    Their multipliers ascend while the network's parameters descend, both by Adam from the same
    loss, so a step is taken with the multipliers before their update. The gradient of
    <(lambda e)^2> is 2 lambda e^2 / n; Adam does not feel its constant factor. Adam's moments
    belong to rows, as the multipliers do, so a row that a step leaves out does not move.
    """

    def __init__(
        self, settings: config.SelfAdaptive, sizes: dict[str, tuple[int, int]], ranks: Ranks
    ) -> None:
        super().__init__()
        self.settings = settings

        def filled(size: tuple[int, int], value: float) -> torch.Tensor:
            return torch.full(size, value, dtype=torch.float64, device=ranks.device)

        self.multipliers = {block: filled(size, 1.0) for block, size in sizes.items()}
        self.first = {f"{block}_first_moment": filled(size, 0.0) for block, size in sizes.items()}
        self.second = {f"{block}_second_moment": filled(size, 0.0) for block, size in sizes.items()}
        self.visits = {f"{b}_visits": filled((rows, 1), 0.0) for b, (rows, _) in sizes.items()}
        self.state = self.multipliers | self.first | self.second | self.visits

    def update(self, batch: Batch, residuals: Blocks) -> Blocks:
        """One step of ascent."""
        weights = {block: torch.ones_like(e) for block, e in residuals.items()}
        for block, multipliers in self.multipliers.items():
            rows, e = batch.rows[block], residuals[block].detach()
            old = multipliers[rows]
            weights[block] = old.to(e.dtype)
            multipliers[rows] = old + self._ascent(block, rows, old * e.square())
        return weights

    def _ascent(self, block: str, rows: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        first = self.first[f"{block}_first_moment"]
        second = self.second[f"{block}_second_moment"]
        visits = self.visits[f"{block}_visits"]
        first[rows] = BETA_1 * first[rows] + (1 - BETA_1) * gradient
        second[rows] = BETA_2 * second[rows] + (1 - BETA_2) * gradient.square()
        visits[rows] += 1
        mean = first[rows] / (1 - BETA_1 ** visits[rows])
        square = second[rows] / (1 - BETA_2 ** visits[rows])
        return self.settings.learning_rate * mean / (square.sqrt() + EPSILON)
