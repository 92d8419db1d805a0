"""Helmholtz equation in (x, y) with a manufactured solution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aiv_rba import jets

SECOND_ORDER = (1.0, 1.0)
"""The jet's second-order operator is the Laplacian."""

A1, A2, K = 1.0, 4.0, 1.0
"""Wave numbers of the solution, in units of pi, and k of the equation."""


def exact(points: Tensor) -> Tensor:
    """Solution (N, 1) at points (N, 2): sin(a_1 pi x) sin(a_2 pi y)."""
    x, y = points[:, :1], points[:, 1:]
    return torch.sin(A1 * math.pi * x) * torch.sin(A2 * math.pi * y)


def forcing(points: Tensor) -> Tensor:
    """Forcing q (N, 1); Eq. 29 with k^2 in its last term, as Eq. 28 asks (the same for k = 1)."""
    return (K**2 - (A1 * math.pi) ** 2 - (A2 * math.pi) ** 2) * exact(points)


def residual(u: jets.View, points: Tensor) -> Tensor:
    """Residual (N, 1) of Eq. 28, lap u + k^2 u - q, at points (N, 2)."""
    return u.laplacian + K**2 * u.value - forcing(points)
