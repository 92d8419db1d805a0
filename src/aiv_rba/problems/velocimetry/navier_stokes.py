"""Incompressible Navier-Stokes equations in (t, x, y, z)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from aiv_rba import jets

COORDINATES = "txyz"
SECOND_ORDER = (0.0, 1.0, 1.0, 1.0)
"""The jet's second-order operator is the Laplacian in space."""


class Terms(NamedTuple):
    """Terms of the equations, nondimensional.

    Attributes
    ----------
    acceleration, pressure_gradient, viscous
        (N, 3): the first two add up to the third; Eq. 33.
    divergence
        (N, 1): of the velocity, which vanishes; Eq. 34.
    """

    acceleration: Tensor
    pressure_gradient: Tensor
    viscous: Tensor
    divergence: Tensor


def terms(flow: Tensor, inertia: float, diffusion: float) -> Terms:
    """Terms of momentum and mass; Eqs. 33-34.

    Parameters
    ----------
    flow
        (6, N, 4): jet of (u, v, w, p) in (t, x, y, z), nondimensional.
    inertia, diffusion
        Coefficients of the acceleration and of the Laplacian: 1 and 1/Re, or Re and 1
        (`aiv_rba.scales.Scales`).
    """
    fields = jets.View(flow, COORDINATES)
    velocity, pressure = fields[:3], fields[3:]
    u, v, w = torch.split(velocity.value, 1, dim=-1)

    advection = u * velocity.d("x") + v * velocity.d("y") + w * velocity.d("z")
    acceleration = velocity.d("t") + advection
    pressure_gradient = pressure.gradient("xyz")[:, 0]
    divergence = velocity[:1].d("x") + velocity[1:2].d("y") + velocity[2:].d("z")
    return Terms(
        inertia * acceleration, pressure_gradient, diffusion * velocity.laplacian, divergence
    )


def residuals(flow: Tensor, inertia: float, diffusion: float) -> Tensor:
    """Residuals (N, 4) of momentum in x, y and z and of mass, from the arguments of `terms`."""
    found = terms(flow, inertia, diffusion)
    momentum = found.acceleration + found.pressure_gradient - found.viscous
    return torch.cat([momentum, found.divergence], dim=1)
