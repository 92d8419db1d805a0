"""Allen-Cahn as a problem of the training loop; section 3.1, Table A.7."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array
from aiv_rba.networks.scalar import ScalarNetwork
from aiv_rba.problems.allen_cahn import equation
from aiv_rba.problems.allen_cahn.reference import solve
from aiv_rba.problems.allen_cahn.settings import AllenCahnNetworkSettings, AllenCahnSettings
from aiv_rba.problems.scalar import ScalarProblem, ScalarResiduals, Solution, edge

# The reference solution: modes and time steps, and how much of it is kept for scoring.
MODES, STEPS, TIMES, PLACES = 4096, 2000, 100, 512


class AllenCahnResiduals(ScalarResiduals):
    """Eqs. 24-26; the periodic condition is a loss term where no embedding meets it."""

    def __init__(self, network: ScalarNetwork, coordinates: str, *, periodic: bool) -> None:
        super().__init__(network, coordinates)
        terms: dict[str, tuple[str, ...]] = {"equation": ("equation",), "initial": ("initial",)}
        if not periodic:
            terms["boundary"] = ("boundary_value", "boundary_slope")
        self.terms = terms

    def equation(self, points: Tensor) -> Tensor:
        """Residual of the equation, (n, 1)."""
        return equation.residual(self.u(points))

    def initial(self, points: Tensor) -> Tensor:
        """u(0, x) less the initial condition, (n, 1)."""
        return self.network.value(points) - equation.initial(points[:, 1:])

    def boundary(self, left: Tensor, right: Tensor) -> Tensor:
        """Jumps of u and u_x across the period, (n, 2)."""
        a, b = self.u(left), self.u(right)
        return torch.cat([a.value - b.value, a.d("x") - b.d("x")], dim=1)


class AllenCahn(ScalarProblem):
    """The Allen-Cahn problem on 0 <= t <= 1, -1 <= x <= 1."""

    title = "Allen-Cahn: u_t = 1e-4 u_xx - 5 u^3 + 5 u, u(0, x) = x^2 cos(pi x), periodic"
    coordinates = "tx"
    lower, upper = (0.0, -1.0), (1.0, 1.0)
    second_order = equation.SECOND_ORDER
    span = (0.0, 1.0)
    settings_type = AllenCahnSettings

    @staticmethod
    def solution() -> Solution:
        """By a Fourier method in space and ETDRK4 in time."""
        t, x, u = solve(MODES, STEPS, TIMES)
        every = MODES // PLACES
        return t, x[::every], u[:, ::every]

    @property
    def periodic(self) -> bool:
        """Whether the network is periodic in x by its embedding."""
        return self.settings.network.embedding == "fourier_x"

    def lift(self) -> Callable[[Tensor], Tensor] | None:
        """The kink of the initial condition, if the settings take it as known."""
        network = self.settings.network
        asked = isinstance(network, AllenCahnNetworkSettings) and network.kink
        return equation.kink if asked else None

    def make_residuals(self) -> AllenCahnResiduals:
        """Residuals; what is not periodic in time, nor zero at x = 1, is refused."""
        network = self.settings.network
        if network.embedding not in ("none", "fourier_x"):
            raise UserError(
                f"allen_cahn: found embedding {network.embedding}, expected none or fourier_x: "
                "the solution is not periodic in time"
            )
        if network.distance:
            raise UserError(
                "allen_cahn: found distance true, expected false: u is not zero at x = 1"
            )
        return AllenCahnResiduals(self.network, self.coordinates, periodic=self.periodic)

    def conditions(self) -> dict[str, tuple[Array, ...]]:
        """Points at t = 0 and, where the network is not periodic, pairs of points at x = -1, 1."""
        n = self.settings.boundary_points
        points: dict[str, tuple[Array, ...]] = {"initial": (edge(0, 0.0, -1, 1, n),)}
        if not self.periodic:
            points["boundary"] = tuple(edge(1, side, 0, 1, n) for side in (-1.0, 1.0))
        return points
