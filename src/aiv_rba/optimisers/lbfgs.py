"""L-BFGS with a strong Wolfe line search, data-parallel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from aiv_rba.optimisers.compilation import compiled
from aiv_rba.optimisers.objective import Objective
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import LBFGSSettings


class LBFGS:
    """Quasi-Newton steps; the multipliers stay as they are during one step's line search.

    The line search starts from `scale` times the quasi-Newton step.
    """

    def __init__(
        self, settings: LBFGSSettings, residuals: Residuals, ranks: Ranks, scale: float = 1.0
    ) -> None:
        self.scale = scale
        self.forward = compiled(residuals) if settings.compile else residuals
        self.ranks = ranks
        self.parameters = list(residuals.parameters())
        self.sizes = [p.numel() for p in self.parameters]
        self.lbfgs: torch.optim.Optimizer = torch.optim.LBFGS(
            self.parameters,
            max_iter=1,
            # The first evaluation of a step and its line search.
            max_eval=26,
            history_size=settings.pairs,
            line_search_fn="strong_wolfe",
            # The loop counts the steps; nothing else ends a training.
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )

    @property
    def diagnostics(self) -> dict[str, float]:
        """Length of the last step in units of the quasi-Newton step, for the history."""
        return {"step_length": float(self.lbfgs.state[self.parameters[0]].get("t", 0.0))}

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        objective = Objective(self.forward, self.parameters, self.ranks, batch, weigh)

        def loss() -> float:
            value, gradient = objective()
            slices = torch.split(gradient, self.sizes)
            for parameter, part in zip(self.parameters, slices, strict=True):
                parameter.grad = part.view_as(parameter)
            return value

        for group in self.lbfgs.param_groups:
            group["lr"] = self.scale
        self.lbfgs.step(loss)
        return objective.rows

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"lbfgs": self.lbfgs.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.lbfgs.load_state_dict(state["lbfgs"])
