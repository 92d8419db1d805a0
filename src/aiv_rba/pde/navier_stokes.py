"""Incompressible Navier-Stokes equations in (t, x, y, z)."""

from __future__ import annotations

import torch
from torch import Tensor

SECOND_ORDER = (0.0, 1.0, 1.0, 1.0)
"""The jet's second-order operator is the Laplacian in space."""


def residuals(flow: Tensor, inertia: float, diffusion: float) -> Tensor:
    """Residuals of momentum and mass; Eqs. 33-34.

    Parameters
    ----------
    flow
        (6, N, 4): jet of (u, v, w, p) in (t, x, y, z), nondimensional.
    inertia, diffusion
        Coefficients of the acceleration and of the Laplacian: 1 and 1/Re, or Re and 1
        (`aiv_rba.scales.Scales`).

    Returns
    -------
    Tensor
        (N, 4): momentum in x, y and z, mass.
    """
    u, v, w = flow[0, :, :3].unbind(-1)
    d_t, d_x, d_y, d_z = flow[1:5, :, :3].unbind(0)
    grad_p = flow[2:5, :, 3].T
    laplacian = flow[5, :, :3]

    advection = u[:, None] * d_x + v[:, None] * d_y + w[:, None] * d_z
    momentum = inertia * (d_t + advection) + grad_p - diffusion * laplacian
    mass = d_x[:, 0] + d_y[:, 1] + d_z[:, 2]
    return torch.cat([momentum, mass[:, None]], dim=1)
