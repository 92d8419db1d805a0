"""Helmholtz as a problem of the training loop; section 3.2, Table A.9."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array
from aiv_rba.networks.scalar import ScalarNetwork
from aiv_rba.problems.helmholtz import equation
from aiv_rba.problems.scalar import ScalarProblem, ScalarResiduals, Solution, edge, nodes


class HelmholtzResiduals(ScalarResiduals):
    """Eqs. 28-30; the boundary values are a loss term where no distance function meets them."""

    def __init__(self, network: ScalarNetwork, coordinates: str) -> None:
        super().__init__(network, coordinates)
        boundary = {"boundary": ("boundary",)} if network.distance is None else {}
        self.terms = {"equation": ("equation",)} | boundary

    def equation(self, points: Tensor) -> Tensor:
        """Residual of the equation, (n, 1)."""
        return equation.residual(self.u(points), points)

    def boundary(self, points: Tensor) -> Tensor:
        """Values on the boundary, (n, 1)."""
        return self.network.value(points)


class Helmholtz(ScalarProblem):
    """The Helmholtz problem on [-1, 1]^2.

    The "1201" points of Table A.9 on a uniform grid are no square; the results say how many were
    used.
    """

    title = "Helmholtz: u_xx + u_yy + u = q on [-1, 1]^2, u = sin(pi x) sin(4 pi y)"
    coordinates = "xy"
    lower, upper = (-1.0, -1.0), (1.0, 1.0)
    second_order = equation.SECOND_ORDER

    @staticmethod
    def solution() -> Solution:
        """The manufactured solution."""
        side = np.linspace(-1, 1, 201)
        exact = equation.exact(torch.from_numpy(nodes(side, side)))
        return side, side, exact.numpy().reshape(201, 201)

    def make_residuals(self) -> HelmholtzResiduals:
        """Residuals; an embedding of one coordinate alone is refused."""
        if self.settings.network.embedding == "fourier_x":
            raise UserError(
                "helmholtz: found embedding fourier_x, expected none, fourier_each, fourier_xy or "
                "fourier_truncated"
            )
        return HelmholtzResiduals(self.network, self.coordinates)

    def conditions(self) -> dict[str, tuple[Array, ...]]:
        """Points on the four sides, where no distance function is used."""
        if self.network.distance is not None:
            return {}
        n = max(self.settings.boundary_points // 4, 2)
        sides = [edge(i, side, -1, 1, n) for i in (0, 1) for side in (-1.0, 1.0)]
        return {"boundary": (np.concatenate(sides),)}
