"""L-BFGS with a strong Wolfe line search, data-parallel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from aiv_rba.optimisers.compilation import compiled
from aiv_rba.optimisers.objective import Objective
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import LBFGSSettings


class LBFGS:
    """Quasi-Newton steps; the multipliers stay as they are during one step's line search.

    A change of the gradient tells of the curvature only if both gradients are those of the same
    loss. Where the multipliers have changed since the last step, the gradient before that step is
    therefore computed anew with those of now. The line search starts from `scale` times the
    quasi-Newton step.
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
        # The parameters (P,) before the last step, and the row factors of that step.
        self.before: Tensor | None = None
        self.weights: Blocks = {}

    @property
    def diagnostics(self) -> dict[str, float]:
        """Length of the last step in units of the quasi-Newton step, for the history."""
        return {"step_length": float(self._state.get("t", 0.0))}

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        objective = Objective(self.forward, self.parameters, self.ranks, batch, weigh)
        here = nn.utils.parameters_to_vector(self.parameters).detach()
        # The optimiser asks for the loss where it stands first.
        evaluations = iter([objective()])
        if self.before is not None and self._have_changed(objective.weights):
            self._move(self.before)
            _, gradient = objective()
            self._state["prev_flat_grad"] = gradient
            self._move(here)
        self.before, self.weights = here, objective.weights

        def loss() -> float:
            value, gradient = next(evaluations, None) or objective()
            slices = torch.split(gradient, self.sizes)
            for parameter, part in zip(self.parameters, slices, strict=True):
                parameter.grad = part.view_as(parameter)
            return value

        for group in self.lbfgs.param_groups:
            group["lr"] = self.scale
        self.lbfgs.step(loss)
        return objective.rows

    @property
    def _state(self) -> dict[str, Any]:
        """That of torch.optim.LBFGS, with its last gradient, direction and step length."""
        state: dict[str, Any] = self.lbfgs.state[self.parameters[0]]
        return state

    def _have_changed(self, weights: Blocks) -> bool:
        """Whether row factors of any rank are not those of the last step, or these not known."""
        same = self.weights.keys() == weights.keys() and all(
            torch.equal(values, self.weights[block]) for block, values in weights.items()
        )
        changed = torch.tensor([float(not same)], device=self.ranks.device)
        return bool(self.ranks.max(changed))

    @torch.no_grad()
    def _move(self, vector: Tensor) -> None:
        # Not by `vector_to_parameters`, after which a step would change the vector too.
        for parameter, part in zip(self.parameters, torch.split(vector, self.sizes), strict=True):
            parameter.copy_(part.view_as(parameter))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"lbfgs": self.lbfgs.state_dict(), "before": self.before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.lbfgs.load_state_dict(state["lbfgs"])
        if state["before"] is not None:
            self.before = state["before"].to(self.parameters[0])
