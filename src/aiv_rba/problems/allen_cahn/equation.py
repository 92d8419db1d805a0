"""Allen-Cahn equation in (t, x)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aiv_rba import jets

SECOND_ORDER = (0.0, 1.0)
"""The jet's second-order operator is d^2/dx^2."""

DIFFUSION = 1e-4
"""Coefficient of diffusion, epsilon."""


def residual(u: jets.View) -> Tensor:
    """Residual (N, 1) of Eq. 24, u_t = epsilon u_xx - 5 u^3 + 5 u."""
    return u.d("t") - DIFFUSION * u.laplacian + 5 * u.value**3 - 5 * u.value


def initial(x: Tensor) -> Tensor:
    """Initial condition x^2 cos(pi x); Eq. 25."""
    return x**2 * torch.cos(math.pi * x)


REACH = 0.15
"""How far from x = -1 and x = 1 the kink is felt."""


def kink(coordinates: Tensor) -> Tensor:
    """Jet (K, N, 1) of what is singular in the solution, from the jet of (t, x).

    The periodic continuation of Eq. 25 has a kink at x = -1 = 1, -1 + 2 |distance| to first order.
    It diffuses as the heat kernel says and decays as small deviations from u = -1 do, at the rate
    10; the rest of the solution is smoother by two orders. A smooth hyperbola is taken off, so that
    nothing is left in the middle.
    """
    second_order = torch.tensor(SECOND_ORDER).to(coordinates)
    t, x = coordinates[..., :1], coordinates[..., 1:2]
    width = jets.compose(4 * DIFFUSION * t, _root, second_order)
    # Smooth and periodic; the distance itself up to its cube.
    distance = jets.compose(0.5 * math.pi * x, jets.cos, second_order) * (2 / math.pi)
    ratio = jets.product(distance, jets.compose(width, _reciprocal, second_order), second_order)
    diffused = jets.product(width, jets.compose(ratio, _rounded, second_order), second_order)
    local = diffused - jets.compose(distance, _hyperbola, second_order)
    return 2 * jets.product(local, jets.compose(t, _decay, second_order), second_order)


def _root(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # The width at t = 0 is too small to be seen, but its derivatives stay finite.
    root = torch.sqrt(x + 1e-14)
    return root, 0.5 / root, -0.25 / root**3


def _reciprocal(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return 1 / x, -1 / x**2, 2 / x**3


def _rounded(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """|x| convolved with the heat kernel of 4 D t = 1."""
    bell = torch.exp(-x.square()) / math.sqrt(math.pi)
    return x * torch.erf(x) + bell, torch.erf(x), 2 * bell


def _hyperbola(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    root = torch.sqrt(x.square() + REACH**2)
    return root, x / root, REACH**2 / root**3


def _decay(t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    decay = torch.exp(-10 * t)
    return decay, -10 * decay, 100 * decay
