"""Allen-Cahn equation in (t, x)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

SECOND_ORDER = (0.0, 1.0)
"""The jet's second-order operator is d^2/dx^2."""

DIFFUSION = 1e-4
"""Coefficient of diffusion, epsilon."""


def residual(u: Tensor) -> Tensor:
    """Residual (N, 1) of Eq. 24, u_t = epsilon u_xx - 5 u^3 + 5 u, from the jet (4, N, 1) of u."""
    value, u_t, _, u_xx = u.unbind(0)
    return u_t - DIFFUSION * u_xx + 5 * value**3 - 5 * value


def initial(x: Tensor) -> Tensor:
    """Initial condition x^2 cos(pi x); Eq. 25."""
    return x**2 * torch.cos(math.pi * x)
