"""Incompressible Navier-Stokes equations in (t, x, y, z)."""

from __future__ import annotations

import torch
from torch import Tensor

from aiv_rba import jets

COORDINATES = "txyz"
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
    fields = jets.View(flow, COORDINATES)
    velocity, pressure = fields[:3], fields[3:]
    u, v, w = torch.split(velocity.value, 1, dim=-1)

    advection = u * velocity.d("x") + v * velocity.d("y") + w * velocity.d("z")
    acceleration = velocity.d("t") + advection
    pressure_gradient = pressure.gradient("xyz")[:, 0]
    momentum = inertia * acceleration + pressure_gradient - diffusion * velocity.laplacian
    mass = velocity[:1].d("x") + velocity[1:2].d("y") + velocity[2:].d("z")
    return torch.cat([momentum, mass], dim=1)
