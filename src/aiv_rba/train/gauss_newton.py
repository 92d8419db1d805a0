"""Gauss-Newton steps with Levenberg damping on the weighted residual rows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from aiv_rba import config
from aiv_rba.nn.layers import Linear
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.train.batches import Batch
from aiv_rba.train.loss import Residuals, of_batch
from aiv_rba.weights import Blocks


def jacobian(residuals: Callable[[], Tensor], layers: list[Linear]) -> tuple[Tensor, Tensor]:
    """Residuals and their derivatives with respect to the weights and biases of linear layers.

    A row depends on its own point only, so the gradient of a term's sum with respect to a layer's
    output holds every row's own gradient, and the derivative with respect to the weights is the
    product of that with the layer's input.

    Returns
    -------
    Tensor, Tensor
        Residuals (n, terms) and Jacobian (n, terms, parameters), parameters in the order weight,
        bias of each layer.
    """
    inputs: list[Tensor] = []
    outputs: list[Tensor] = []

    def record(_: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        inputs.append(arguments[0].detach())
        outputs.append(output)

    hooks = [layer.register_forward_hook(record) for layer in layers]
    e = residuals()
    for hook in hooks:
        hook.remove()

    columns = []
    for term in range(e.shape[1]):
        gradients = torch.autograd.grad(
            e[:, term].sum(), outputs, retain_graph=True, materialize_grads=True
        )
        parts = []
        for gradient, x in zip(gradients, inputs, strict=True):
            weight = torch.einsum("kno,kni->noi", gradient, x)
            parts += [weight.flatten(1), gradient[0]]
        columns.append(torch.cat(parts, dim=1))
    return e.detach(), torch.stack(columns, dim=1)


class GaussNewton:
    """Damped Gauss-Newton.

    The gradient is taken over the whole batch; J^T J over a rotating subset of its rows and
    averaged over steps, since it costs the square of the number of parameters per row. Both are
    sums over rows, so ranks add theirs. A step that does not lower the loss of its batch is
    refused and the damping raised.
    """

    def __init__(
        self,
        settings: config.GaussNewton,
        residuals: Residuals,
        ranks: Ranks,
        seed: int,
    ) -> None:
        self.settings = settings
        self.residuals = residuals
        self.ranks = ranks
        self.seed = seed
        self.layers = [m for m in residuals.modules() if isinstance(m, Linear)]
        self.parameters = [p for layer in self.layers for p in (layer.weight, layer.bias)]
        count = sum(p.numel() for p in self.parameters)
        self.curvature = torch.zeros(
            count, count, dtype=self.parameters[0].dtype, device=ranks.device
        )
        self.damping = settings.damping
        self.steps = 0

    @property
    def control(self) -> float:
        """Damping, for the history."""
        return self.damping

    def step(self, batch: Batch, weigh: Callable[[Batch, Blocks], Blocks]) -> Blocks:
        """One step; the weighted residual rows (n, terms) of each block before it."""
        e = of_batch(self.residuals, batch)
        weights = weigh(batch, e)
        rows = {block: weights[block] * values for block, values in e.items()}
        loss = self._sum_of_squares(rows)
        gradient = torch.autograd.grad(loss / 2, self.parameters)
        g = self.ranks.sum(torch.cat([part.flatten() for part in gradient]))
        before = float(self.ranks.sum(loss.detach().clone()))

        self._update_curvature(batch, weights)
        start = nn.utils.parameters_to_vector(self.parameters).detach()
        for _ in range(self.settings.trials):
            self._move(start + self._solve(g))
            if self._loss(batch, weights) < before:
                self.damping = max(self.damping / 2, self.settings.smallest_damping)
                break
            self.damping *= 4
        else:
            self._move(start)
        self.steps += 1
        return rows

    def _update_curvature(self, batch: Batch, weights: Blocks) -> None:
        chosen, scale = self._choose(batch)
        part = batch.select(chosen)
        new = torch.zeros_like(self.curvature)
        evaluations = {
            "no_slip": lambda: self.residuals.no_slip(part.points["no_slip"]),
            "tracks": lambda: self.residuals.tracks(part.points["tracks"], part.measured),
            "navier_stokes": lambda: self.residuals.navier_stokes(part.points["navier_stokes"]),
        }
        for block, evaluate in evaluations.items():
            _, j = jacobian(evaluate, self.layers)
            j = (j * (scale[block] * weights[block][chosen[block]]).unsqueeze(-1)).flatten(0, 1)
            add_gram(new, j)
        self.ranks.sum(new)
        new = torch.triu(new) + torch.triu(new, 1).T
        memory = min(self.settings.memory, self.steps / (self.steps + 1))
        self.curvature.mul_(memory).add_(new, alpha=1 - memory)

    def _choose(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Rows for J^T J: a random subset of the rows of all ranks, the same for any number."""
        generator = torch.Generator().manual_seed(self.seed + 104_729 * (self.steps + 1))
        chosen, scale = {}, {}
        for block, limit in zip(batch.points, self.settings.curvature_points, strict=True):
            count = batch.counts[block]
            order = torch.randperm(count, generator=generator)[:limit]
            first = self._first_row(batch, block)
            local = order - first
            local = local[(local >= 0) & (local < len(batch.points[block]))]
            chosen[block] = local.to(self.ranks.device)
            scale[block] = (count / len(order)) ** 0.5
        return chosen, scale

    def _first_row(self, batch: Batch, block: str) -> int:
        """Number of this rank's first row of the batch among those of all ranks."""
        counts = torch.zeros(self.ranks.size, dtype=torch.int64, device=self.ranks.device)
        counts[self.ranks.rank] = len(batch.points[block])
        return int(self.ranks.sum(counts)[: self.ranks.rank].sum())

    def _solve(self, g: Tensor) -> Tensor:
        scale = self.curvature.diagonal().mean()
        damped = self.curvature.clone()
        damped.diagonal().add_(self.damping * scale)
        factor, failed = torch.linalg.cholesky_ex(damped)
        while int(failed):
            self.damping *= 4
            damped.diagonal().add_(self.damping * scale)
            factor, failed = torch.linalg.cholesky_ex(damped)
        return -torch.cholesky_solve(g.unsqueeze(1), factor).squeeze(1)

    def _move(self, parameters: Tensor) -> None:
        nn.utils.vector_to_parameters(parameters, self.parameters)

    @torch.no_grad()
    def _loss(self, batch: Batch, weights: Blocks) -> float:
        e = of_batch(self.residuals, batch)
        rows = {block: weights[block] * values for block, values in e.items()}
        return float(self.ranks.sum(self._sum_of_squares(rows)))

    @staticmethod
    def _sum_of_squares(rows: Blocks) -> Tensor:
        return torch.stack([values.square().sum() for values in rows.values()]).sum()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs."""
        return {"curvature": self.curvature, "damping": self.damping, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.curvature.copy_(state["curvature"])
        self.damping, self.steps = state["damping"], state["steps"]


def add_gram(total: Tensor, j: Tensor, blocks: int = 4) -> None:
    """Add the upper triangle of J^T J to `total`, block row by block row: half the products."""
    bounds = [len(total) * i // blocks for i in range(blocks + 1)]
    for start, stop in pairwise(bounds):
        total[start:stop, start:].addmm_(j[:, start:stop].T, j[:, start:])
