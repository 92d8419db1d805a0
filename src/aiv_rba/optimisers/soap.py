"""SOAP: Adam in the eigenbases of the gradients' covariances, data-parallel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from aiv_rba.optimisers.adam import Adam
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import SOAPSettings

# Decay of both moments and of the covariances, and what keeps a small second moment from dividing;
# the values of Vyas et al. 2025.
DECAY, SMALLEST = 0.95, 1e-8
# Of the mean eigenvalue, added to all: directions that no gradient has had keep their place in the
# basis. Without, they would follow rounding, and other numbers of ranks would train otherwise.
RIDGE = 1e-6


class SOAP(Adam):
    """First-order steps preconditioned by row and column of each weight matrix (Vyas et al. 2025).

    Adam scales every weight by itself. In the eigenbases of G G^T and G^T G, averaged over steps,
    of the gradient G of a matrix, it also scales combinations of weights, as Shampoo does (Gupta et
    al. 2018), which physics-informed networks gain from (Wang et al. 2025).
    """

    def __init__(
        self,
        settings: SOAPSettings,
        forward: nn.Module,
        ranks: Ranks,
        scale: float = 1.0,
        parts: int = 1,
    ) -> None:
        super().__init__(settings, forward, ranks, scale, parts)
        self.adam = EigenbasisAdam(
            forward.parameters(), settings.learning_rate, renewal=settings.renewal
        )


class EigenbasisAdam(torch.optim.Optimizer):
    """Adam in eigenbases that are renewed every few steps; plain Adam for what is no matrix.

    A renewal is one orthogonal iteration, so the bases follow the covariances; the first ones are
    the axes.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, *, renewal: int) -> None:
        super().__init__(parameters, {"lr": lr, "renewal": renewal})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move all parameters that have a gradient."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, parameter.grad, group["lr"], group["renewal"])

    def _move(self, parameter: Tensor, gradient: Tensor, rate: float, renewal: int) -> None:
        state = self.state[parameter]
        if not state:
            state |= _start(gradient)
        state["steps"] += 1
        state["mean"].lerp_(gradient, 1 - DECAY)
        turned = _turned(gradient, state["bases"])
        state["square"].lerp_(turned.square(), 1 - DECAY)
        correction = 1 - DECAY ** state["steps"]
        size = (state["square"] / correction).sqrt() + SMALLEST
        step = _turned(state["mean"], state["bases"]) / correction / size
        parameter.sub_(_turned(step, [basis.T for basis in state["bases"]]), alpha=rate)
        if state["bases"]:
            rows, columns = state["covariances"]
            rows.lerp_(gradient @ gradient.T, 1 - DECAY)
            columns.lerp_(gradient.T @ gradient, 1 - DECAY)
            if state["steps"] % renewal == 0:
                _renew(state)


def _start(gradient: Tensor) -> dict[str, Any]:
    sizes = gradient.shape if gradient.dim() == 2 else ()
    return {
        "steps": 0,
        "mean": torch.zeros_like(gradient),
        "square": torch.zeros_like(gradient),
        "covariances": [gradient.new_zeros(size, size) for size in sizes],
        "bases": [torch.eye(size, dtype=gradient.dtype, device=gradient.device) for size in sizes],
    }


def _turned(matrix: Tensor, bases: list[Tensor]) -> Tensor:
    """A matrix in the given bases of its rows and columns; unchanged without."""
    if not bases:
        return matrix
    rows, columns = bases
    return rows.T @ matrix @ columns


def _renew(state: dict[str, Any]) -> None:
    """One orthogonal iteration of both bases, sorted; second moments stay with their directions."""
    for axis, (covariance, basis) in enumerate(
        zip(state["covariances"], state["bases"], strict=True)
    ):
        product = covariance @ basis + RIDGE * covariance.diagonal().mean() * basis
        order = (basis * product).sum(0).argsort(descending=True, stable=True)
        state["square"].copy_(state["square"].index_select(axis, order))
        basis.copy_(torch.linalg.qr(product[:, order])[0])
