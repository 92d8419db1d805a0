"""Damped linear least squares over the rows of all ranks, in parameter or in sample space."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from aiv_rba.optimisers.normal_equations import factored, upper_gram
from aiv_rba.problem import Blocks
from aiv_rba.ranks.ddp import Ranks

Solver = Callable[[Blocks], Tensor]
"""From rows (n, terms) of each block to the solution x (P,)."""


class System(Protocol):
    """min |J x - rows|^2 + damping |x|_unit^2, with the Jacobian J of the rows of all ranks."""

    unit: Tensor
    """(P,) by what a damping of one damps each parameter."""

    def damped(self, damping: float) -> Solver:
        """Solver of the damped system; LinAlgError if rounding makes it indefinite."""
        ...


def transposed(jacobians: Blocks, rows: Blocks, ranks: Ranks) -> Tensor:
    """J^T rows (P,) over all ranks."""
    parts = [j.T @ rows[block].flatten() for block, j in jacobians.items()]
    return ranks.sum(torch.stack(parts).sum(0))


class Curvature:
    """H (P, P), the sum of J^T J over the rows of all ranks, with a fading memory of earlier steps.

    H_k = k / (k + memory) H_{k-1} + J^T J, as in recursive least squares (Ljung 1999, section
    11.2); without a memory it is J^T J.

    Parameters
    ----------
    parameters
        (P,) tensor like the parameters.
    memory
        Steps in which the memory grows by the rows of one; None for none.
    """

    def __init__(self, parameters: Tensor, memory: float | None, ranks: Ranks) -> None:
        self.matrix = parameters.new_zeros(len(parameters), len(parameters))
        self.memory = memory
        self.ranks = ranks

    def update(self, jacobians: Blocks, steps: int) -> None:
        """Add the Jacobian (n, P) of the rows of every block, after so many steps."""
        gram = torch.zeros_like(self.matrix)
        for j in jacobians.values():
            gram += upper_gram(j)
        self.ranks.sum(gram)
        forgetting = 0.0 if self.memory is None else steps / (steps + self.memory)
        self.matrix.mul_(forgetting).add_(gram)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the upper triangle."""
        return {"upper": self.matrix[self._upper]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.matrix[self._upper] = state["upper"].to(self.matrix)

    @cached_property
    def _upper(self) -> tuple[Tensor, Tensor]:
        i, j = torch.triu_indices(*self.matrix.shape, device=self.matrix.device)
        return i, j


class ParameterSpace:
    """(H + damping U) x = J^T rows, with the curvature H (P, P) of these rows and earlier ones."""

    def __init__(
        self, curvature: Curvature, jacobians: Blocks, ranks: Ranks, *, levenberg: bool
    ) -> None:
        self.matrix = curvature.matrix
        self.jacobians = jacobians
        self.ranks = ranks
        self.unit = unit_damping(self.matrix.diagonal(), levenberg=levenberg)

    def damped(self, damping: float) -> Solver:
        """Solver of the damped system, from a Cholesky factor of order P."""
        damped = self.matrix.clone()
        damped.diagonal().add_(damping * self.unit)
        solve = factored(damped)
        return lambda rows: solve(transposed(self.jacobians, rows, self.ranks))


class SampleSpace:
    """x = U^-1 J^T y with (J U^-1 J^T + damping) y = rows: the same x, by a matrix of order n.

    For fewer rows n than parameters; the kernel of Goldshlager, Abrahamsen & Lin 2024. Every rank
    computes the kernel's rows that belong to its own rows, from the Jacobian of all.
    """

    def __init__(self, jacobians: Blocks, ranks: Ranks, *, levenberg: bool) -> None:
        own = torch.cat(list(jacobians.values()))
        self.ranks = ranks
        squares = ranks.sum(own.square().sum(0))
        self.unit = unit_damping(squares, levenberg=levenberg)
        self.scaled = own / self.unit.sqrt()
        first = ranks.first_row(len(own))
        self.own = slice(first, first + len(own))
        if ranks.size == 1:
            self.kernel = upper_gram(self.scaled.T)
        else:
            self.kernel = ranks.gather(self.scaled @ ranks.gather(self.scaled).T)

    def damped(self, damping: float) -> Solver:
        """Solver of the damped system, from a Cholesky factor of order n."""
        damped = self.kernel.clone()
        damped.diagonal().add_(damping)
        solve = factored(damped)

        def solution(rows: Blocks) -> Tensor:
            own = torch.cat([values.flatten() for values in rows.values()])
            y = solve(self.ranks.gather(own))
            return self.ranks.sum(self.scaled.T @ y[self.own]) / self.unit.sqrt()

        return solution


def unit_damping(diagonal: Tensor, *, levenberg: bool) -> Tensor:
    """Damping (P,) by the diagonal of the curvature: its mean (Levenberg), itself (Marquardt)."""
    mean = diagonal.mean()
    if levenberg:
        return torch.full_like(diagonal, float(mean))
    # A parameter that no row depends on still needs a positive pivot.
    return diagonal.clamp_min(1e-6 * float(mean))
