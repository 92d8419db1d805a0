"""The self-scaled Broyden method, data-parallel."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import line_search
from torch import Tensor, nn

from aiv_rba.optimisers.compilation import compiled
from aiv_rba.optimisers.objective import Objective
from aiv_rba.problem import Batch, Blocks, Residuals
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import SSBroydenSettings

Array = NDArray[np.float64]


class SSBroyden:
    """Quasi-Newton steps with a dense inverse Hessian, for networks of a few thousand parameters.

    The inverse Hessian H is changed after every step by the self-scaled update of Broyden's family
    (Al-Baali 1998; "SSBroyden2" of Urban, Stefanou & Pons 2025), which weighs BFGS against DFP and
    shrinks what earlier steps have taught where it has become wrong. The strong Wolfe line search
    is SciPy's; multipliers stay as they are during one. It starts from `scale` times the
    quasi-Newton step. A search that finds nothing makes H forget all, and start with the steepest
    descent again: by a step of length one, or a tenth of the last start that found nothing.
    """

    def __init__(
        self, settings: SSBroydenSettings, residuals: Residuals, ranks: Ranks, scale: float = 1.0
    ) -> None:
        self.scale = scale
        self.ranks = ranks
        self.forward = compiled(residuals) if settings.compile else residuals
        self.parameters = list(residuals.parameters())
        count = sum(p.numel() for p in self.parameters)
        self.inverse_hessian = torch.eye(count, dtype=torch.float64, device=ranks.device)
        # Nothing is known yet: H is a multiple of the identity that makes the first step so long.
        self.fresh, self.reach = True, 1.0
        self.length = 0.0

    @property
    def diagnostics(self) -> dict[str, float]:
        """Length of the last step in units of the quasi-Newton step, for the history."""
        return {"step_length": self.length}

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        objective = Objective(self.forward, self.parameters, self.ranks, batch, weigh)
        start = nn.utils.parameters_to_vector(self.parameters).detach()
        along = Evaluations(objective, self._move)
        here = start.double().cpu().numpy()
        loss, gradient = along(here)
        if self.fresh:
            steepness = max(float(gradient.norm()), np.finfo(np.float64).tiny)
            self.inverse_hessian.zero_().diagonal().fill_(self.reach / steepness)
        direction = -self.scale * (self.inverse_hessian @ gradient)
        found = self._search(along, here, direction, loss, gradient)
        if found is None:
            self._move(here)
            self.fresh, self.reach = True, self.reach / 10 if self.fresh else 1.0
        else:
            _, after = along(here + found * direction.cpu().numpy())
            # B s, of the Hessian B = H^-1, without a solution.
            b_s = -found * self.scale * gradient
            self._update(found * direction, after - gradient, b_s)
        self.length = found or 0.0
        return objective.rows

    @staticmethod
    def _search(
        along: Evaluations, here: Array, direction: Tensor, loss: float, gradient: Tensor
    ) -> float | None:
        def losses(x: Array) -> float:
            return along(x)[0]

        def slopes(x: Array) -> Array:
            return np.asarray(along(x)[1].cpu())

        with warnings.catch_warnings():
            # Its result says whether it failed.
            warnings.simplefilter("ignore")
            length = line_search(
                losses,
                slopes,
                here,
                direction.cpu().numpy(),
                gfk=gradient.cpu().numpy(),
                old_fval=loss,
                maxiter=20,
            )[0]
        # A plain number: checkpoints take no others.
        return None if length is None else float(length)

    def _update(self, s: Tensor, y: Tensor, b_s: Tensor) -> None:
        h_y = self.inverse_hessian @ y
        s_y, y_h_y, s_b_s = float(s @ y), float(y @ h_y), float(s @ b_s)
        if not min(s_y, y_h_y, s_b_s) > 0:
            return
        theta, tau = self_scaling(s_b_s / s_y, y_h_y / s_y, len(s))
        spread = (s_b_s / s_y) * (y_h_y / s_y) - 1
        if self.fresh:
            tau = y_h_y / s_y / (1 + spread * theta)
        phi = (1 - theta) / (1 + spread * theta)
        v = s / s_y - h_y / y_h_y
        left = torch.stack([-h_y / (tau * y_h_y), phi * y_h_y / tau * v, s / s_y])
        self.inverse_hessian.addmm_(left.T, torch.stack([h_y, v, s]), beta=1 / tau)
        self.fresh = False

    def _move(self, x: Array) -> None:
        values = torch.from_numpy(x).to(self.parameters[0])
        nn.utils.vector_to_parameters(values, self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {
            "inverse_hessian": self.inverse_hessian,
            "fresh": self.fresh,
            "reach": self.reach,
            "length": self.length,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.inverse_hessian.copy_(state["inverse_hessian"])
        self.fresh, self.reach = state["fresh"], state["reach"]
        self.length = state["length"]


class Evaluations:
    """Loss and gradient (P,) at parameters x (P,), double precision; the last ones are kept."""

    def __init__(self, objective: Objective, move: Callable[[Array], None]) -> None:
        self.objective = objective
        self.move = move
        self.at: Array | None = None
        self.found: tuple[float, Tensor] = (math.nan, torch.empty(0))

    def __call__(self, x: Array) -> tuple[float, Tensor]:
        """Loss and gradient."""
        if self.at is None or not np.array_equal(x, self.at):
            self.move(x)
            loss, gradient = self.objective()
            self.at, self.found = x.copy(), (loss, gradient.double())
        return self.found


def self_scaling(b: float, h: float, count: int) -> tuple[float, float]:
    """Broyden's theta (0 is BFGS, 1 is DFP) and the scale tau of the Hessian.

    Parameters
    ----------
    b, h
        s^T B s / s^T y and y^T H y / s^T y.
    count
        Number of parameters.
    """
    # Not negative but for rounding; zero where one scale fits both.
    a = max(b * h - 1, 1e-300)
    smallest = min(1.0, h * (1 - math.sqrt(a / (1 + a))))
    theta = max((smallest - 1) / a, min(1 / smallest, (1 - b) / b))
    sigma = 1 + theta * a
    root = sigma ** (-1 / (count - 1))
    if theta <= 0:
        return theta, min(min(1.0, 1 / b) * root, sigma)
    return theta, min(1.0, 1 / b) * min(root, 1 / theta)
