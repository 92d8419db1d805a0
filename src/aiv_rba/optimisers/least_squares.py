"""Damped linear least squares over the rows of all ranks, in parameter or in sample space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from aiv_rba.optimisers.jacobian import Jacobian
from aiv_rba.optimisers.normal_equations import add_upper_gram
from aiv_rba.optimisers.shared_matrix import SharedMatrix
from aiv_rba.problem import Blocks
from aiv_rba.ranks.ddp import Ranks

Jacobians = dict[str, Jacobian]
"""The Jacobian of the rows of each block."""
Solver = Callable[[Blocks], Tensor]
"""From rows (n, terms) of each block to the solution x (P,)."""


class System(Protocol):
    """min |J x - rows|^2 + damping |x|_unit^2, with the Jacobian J of the rows of all ranks."""

    unit: Tensor
    """(P,) by what a damping of one damps each parameter."""

    def damped(self, damping: float) -> Solver:
        """Solver of the damped system; LinAlgError if rounding makes it indefinite."""
        ...


def transposed(jacobians: Jacobians, rows: Blocks, ranks: Ranks) -> Tensor:
    """J^T rows (P,) over all ranks."""
    parts = [j.transposed_times(rows[block]) for block, j in jacobians.items()]
    return ranks.sum(torch.stack(parts).sum(0))


class Curvature:
    """H (P, P), the sum of J^T J over the rows of all ranks, with a fading memory of earlier steps.

    H_k = k / (k + memory) H_{k-1} + J^T J after k remembered steps, as in recursive least squares
    (Ljung 1999, section 11.2); without a memory it is J^T J.

    Parameters
    ----------
    parameters
        (P,) tensor like the parameters.
    memory
        Steps in which the memory grows by the rows of one; None for none.
    forgotten
        First steps that are not remembered.
    """

    def __init__(
        self, parameters: Tensor, memory: float | None, forgotten: int, ranks: Ranks
    ) -> None:
        self.matrix = SharedMatrix(len(parameters), parameters, ranks)
        self.memory = memory
        self.forgotten = forgotten

    def update(self, jacobians: Jacobians, steps: int) -> None:
        """Add those of the rows of every block, after so many steps."""

        def accumulate(upper: Tensor) -> None:
            for j in jacobians.values():
                j.add_gram(upper)

        remembered = max(steps - self.forgotten, 0)
        self.matrix.scale(0.0 if self.memory is None else remembered / (remembered + self.memory))
        self.matrix.add(accumulate)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the upper triangle, row by row; every rank calls this."""
        upper = self.matrix.upper()
        return {"upper": torch.cat([row[number:] for number, row in enumerate(upper)])}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Inverse of `state_dict`, on any number of ranks."""
        order = self.matrix.order
        upper = self.matrix.zero.new_zeros(order, order)
        values = torch.split(state["upper"].to(upper), [*range(order, 0, -1)])
        for number, (row, part) in enumerate(zip(upper, values, strict=True)):
            row[number:] = part
        self.matrix.set(upper)


class ParameterSpace:
    """(H + damping U) x = J^T rows, with the curvature H (P, P) of these rows and earlier ones."""

    def __init__(
        self, curvature: Curvature, jacobians: Jacobians, ranks: Ranks, *, levenberg: bool
    ) -> None:
        self.matrix = curvature.matrix
        self.jacobians = jacobians
        self.ranks = ranks
        self.unit = unit_damping(self.matrix.diagonal(), levenberg=levenberg)

    def damped(self, damping: float) -> Solver:
        """Solver of the damped system, from a Cholesky factor of order P."""
        solve = self.matrix.damped(damping * self.unit)
        return lambda rows: solve(transposed(self.jacobians, rows, self.ranks))


class SampleSpace:
    """x = U^-1 J^T y with (J U^-1 J^T + damping) y = rows: the same x, by a matrix of order n.

    For fewer rows n than parameters; the kernel of Goldshlager, Abrahamsen & Lin 2024. It is the
    sum over ranks of the share of each in the parameters, so no rank ever has more of the Jacobian
    than its own rows, and its own columns of all rows.
    """

    def __init__(self, jacobians: Jacobians, ranks: Ranks, *, levenberg: bool) -> None:
        own = torch.cat([j.dense() for j in jacobians.values()])
        self.ranks = ranks
        squares = ranks.sum(own.square().sum(0))
        self.unit = unit_damping(squares, levenberg=levenberg)
        self.scaled = own.div_(self.unit.sqrt())
        counts = ranks.gather(torch.tensor([len(own)], device=own.device)).tolist()
        first = sum(counts[: ranks.rank])
        self.own = slice(first, first + len(own))
        columns = _own_columns(self.scaled, counts, ranks)
        self.kernel = SharedMatrix(sum(counts), own, ranks)
        self.kernel.add(lambda upper: add_upper_gram(columns, upper))

    def damped(self, damping: float) -> Solver:
        """Solver of the damped system, from a Cholesky factor of order n."""
        solve = self.kernel.damped(self.scaled.new_full((self.kernel.order,), damping))

        def solution(rows: Blocks) -> Tensor:
            own = torch.cat([values.flatten() for values in rows.values()])
            y = solve(self.ranks.gather(own))
            return self.ranks.sum(self.scaled.T @ y[self.own]) / self.unit.sqrt()

        return solution


def _own_columns(rows: Tensor, counts: list[int], ranks: Ranks) -> Tensor:
    """This rank's share of the columns of all rows, as (columns, n), from its own rows of all."""
    if ranks.alone:
        return rows.T
    shares = [len(part) for part in torch.arange(rows.shape[1]).tensor_split(ranks.size)]
    mine = shares[ranks.rank]
    sent = [len(rows) * share for share in shares]
    received = [count * mine for count in counts]
    found = ranks.exchange(rows.T.flatten(), sent, received)
    return torch.cat([part.view(mine, -1) for part in torch.split(found, received)], dim=1)


def unit_damping(diagonal: Tensor, *, levenberg: bool) -> Tensor:
    """Damping (P,) by the diagonal of the curvature: its mean (Levenberg), itself (Marquardt)."""
    mean = diagonal.mean()
    if levenberg:
        return torch.full_like(diagonal, float(mean))
    # A parameter that no row depends on still needs a positive pivot.
    return diagonal.clamp_min(1e-6 * float(mean))
