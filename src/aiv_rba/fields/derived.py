"""Vorticity, shear rate and wall shear stress from the jet of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from aiv_rba.files.formats import Array
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.scales import Scales

POINTS_AT_ONCE = 4_000


class NondimensionalFlow(Protocol):
    """A nondimensional flow that is known with its derivatives."""

    def jet(self, points: Tensor) -> Tensor:
        """Jet (6, N, 4) of (u, v, w, p) at points (N, 4): value, d/dt, d/dx, d/dy, d/dz, lap."""
        ...


@dataclass(frozen=True)
class Sample:
    """A flow at points, in SI units; or several flows, (..., N).

    Attributes
    ----------
    velocity
        (N, 3), m/s.
    pressure
        (N,), Pa.
    gradient
        (N, 3, 3), 1/s; row i, column j is d u_i / d x_j.
    """

    velocity: Array
    pressure: Array
    gradient: Array

    @property
    def vorticity(self) -> Array:
        """Vorticity (N, 3), 1/s: curl of the velocity; Eq. 42."""
        g = self.gradient
        return np.stack(
            [
                g[..., 2, 1] - g[..., 1, 2],
                g[..., 0, 2] - g[..., 2, 0],
                g[..., 1, 0] - g[..., 0, 1],
            ],
            axis=-1,
        )

    @property
    def strain_rate(self) -> Array:
        """Strain rate tensor E (N, 3, 3), 1/s; Eq. 45."""
        return np.asarray((self.gradient + self.gradient.swapaxes(-1, -2)) / 2)

    @property
    def shear_rate(self) -> Array:
        """Shear rate (N,), 1/s: sqrt(2 E : E); Eq. 44."""
        e = self.strain_rate
        return np.asarray(np.sqrt(2 * np.einsum("...ij,...ij->...", e, e)))

    def wall_shear_stress(self, normals: Array, viscosity: float) -> Array:
        """Wall shear stress (N, 3), Pa: tangential part of the viscous traction; Eq. 43.

        With normals out of the lumen it points along the flow near the wall.
        """
        traction = -2 * viscosity * np.einsum("...ij,...j->...i", self.strain_rate, normals)
        along = np.sum(traction * normals, axis=-1, keepdims=True)
        return np.asarray(traction - along * normals)


def sample(flow: NondimensionalFlow, scales: Scales, points: Array) -> Sample:
    """The flow at nondimensional points (N, 4), in SI units."""
    return in_si(_jet(flow, points), scales)


def sample_series(
    flow: NondimensionalFlow, scales: Scales, positions: Array, times: Array
) -> list[Sample]:
    """The flow at nondimensional positions (N, 3) and each of the times (T,), in SI units."""
    return [in_si(jet, scales) for jet in jet_series(flow, positions, times)]


def jet_series(flow: NondimensionalFlow, positions: Array, times: Array) -> list[Array]:
    """Jets (6, N, 4) of a flow at positions (N, 3) and each of the times (T,), nondimensional.

    A network that gives coefficients in time is evaluated once for all times.
    """
    if not isinstance(flow, FlowNetwork):
        return [_jet(flow, at_time(positions, time)) for time in times]
    parts = []
    for part in _parts(positions):
        with torch.no_grad():
            parts.append([jet.numpy() for jet in flow.jets(part, times)])
    return [np.concatenate(jets, axis=1) for jets in zip(*parts, strict=True)]


def _jet(flow: NondimensionalFlow, points: Array) -> Array:
    """Jet (6, N, 4) at points (N, 4)."""
    parts = []
    for part in _parts(points):
        with torch.no_grad():
            parts.append(flow.jet(part).numpy())
    return np.concatenate(parts, axis=1)


def _parts(points: Array) -> Iterator[Tensor]:
    """Blocks of points, which bound the memory."""
    for start in range(0, len(points), POINTS_AT_ONCE):
        yield torch.as_tensor(points[start : start + POINTS_AT_ONCE], dtype=torch.float64)


def in_si(jet: Array, scales: Scales) -> Sample:
    """The flow of a jet (..., 6, N, 4), in SI units."""
    return Sample(
        velocity=jet[..., 0, :, :3] * scales.velocity,
        pressure=jet[..., 0, :, 3] * scales.pressure,
        gradient=np.moveaxis(jet[..., 2:5, :, :3], -3, -1) * scales.shear_rate,
    )


def nondimensional(points: ArrayLike, scales: Scales) -> Array:
    """Nondimensional positions of points (N, 3), m.

    Raises
    ------
    ValueError
        If their shape is another one.
    """
    given = np.asarray(points, dtype=float)
    if given.ndim != 2 or given.shape[1] != 3:
        raise ValueError(f"points: found shape {given.shape}, expected (N, 3)")
    return np.asarray((given - np.array(scales.origin)) / scales.length)


def at_time(positions: Array, time: float) -> Array:
    """Points (N, 4) of positions (N, 3) at one time."""
    return np.column_stack([np.full(len(positions), time), positions])
