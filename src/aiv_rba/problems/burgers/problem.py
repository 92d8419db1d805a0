"""Viscous Burgers equation with its exact solution, as a problem of the training loop.

u_t + u u_x = nu u_xx on 0 <= t <= 1, -1 <= x <= 1, with u(0, x) = -sin(pi x) and u = 0 at both
ends; Raissi, Perdikaris & Karniadakis 2019, appendix A.1, with their nu = 0.01 / pi. A front forms
at x = 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from aiv_rba import jets
from aiv_rba.files.formats import Array
from aiv_rba.problems.scalar import ScalarProblem, ScalarResiduals, Solution, edge

VISCOSITY = 0.01 / math.pi
# Nodes of the quadrature; 100 more change the solution by less than 1e-12 (tests).
NODES = 150


def residual(u: jets.View) -> Tensor:
    """Residual (N, 1) of u_t + u u_x - nu u_xx."""
    return u.d("t") + u.value * u.d("x") - VISCOSITY * u.laplacian


def exact(t: Array, x: Array, nodes: int = NODES) -> Array:
    """Solution (N, M) at times (N,) and places (M,), by the transformation of Cole and Hopf.

    With theta(y) = exp(-cos(pi y) / (2 pi nu)) the solution is the mean of -sin(pi y) with the
    weight theta(y), y = x - sqrt(4 nu t) z, over the bell curve of z, which Gauss and Hermite's
    quadrature integrates (Basdevant et al. 1986).
    """
    z, weights = np.polynomial.hermite.hermgauss(nodes)
    y = x[None, :, None] - np.sqrt(4 * VISCOSITY * t)[:, None, None] * z
    exponent = -np.cos(np.pi * y) / (2 * np.pi * VISCOSITY)
    # The largest exponent cancels in the ratio.
    theta = weights * np.exp(exponent - exponent.max(axis=-1, keepdims=True))
    return np.asarray(-(theta * np.sin(np.pi * y)).sum(axis=-1) / theta.sum(axis=-1))


class BurgersResiduals(ScalarResiduals):
    """The equation, and the initial and boundary values."""

    terms: Mapping[str, tuple[str, ...]] = {
        "equation": ("equation",),
        "initial": ("initial",),
        "boundary": ("boundary",),
    }

    def equation(self, points: Tensor) -> Tensor:
        """Residual of the equation, (n, 1)."""
        return residual(self.u(points))

    def initial(self, points: Tensor) -> Tensor:
        """u(0, x) less the initial condition, (n, 1)."""
        return self.network.value(points) + torch.sin(math.pi * points[:, 1:])

    def boundary(self, points: Tensor) -> Tensor:
        """Values at both ends, (n, 1)."""
        return self.network.value(points)


class Burgers(ScalarProblem):
    """The Burgers problem."""

    title = "Burgers: u_t + u u_x = (0.01 / pi) u_xx, u(0, x) = -sin(pi x), u(t, -1) = u(t, 1) = 0"
    coordinates = "tx"
    lower, upper = (0.0, -1.0), (1.0, 1.0)
    second_order = (0.0, 1.0)
    span = (0.0, 1.0)

    @staticmethod
    def solution() -> Solution:
        """The exact solution."""
        t, x = np.linspace(0, 1, 101), np.linspace(-1, 1, 257)
        return t, x, exact(t, x)

    def make_residuals(self) -> BurgersResiduals:
        """Residuals of the equation and its conditions."""
        return BurgersResiduals(self.network, self.coordinates)

    def conditions(self) -> dict[str, tuple[Array, ...]]:
        """Points at t = 0 and at x = -1, 1."""
        n = self.settings.boundary_points
        ends = [edge(1, side, 0, 1, n) for side in (-1.0, 1.0)]
        return {"initial": (edge(0, 0.0, -1, 1, n),), "boundary": (np.concatenate(ends),)}
