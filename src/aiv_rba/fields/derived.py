"""Velocity, pressure and what follows from their gradients, in SI units, from jets of a flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from aiv_rba.files.formats import Array
from aiv_rba.jets import Order
from aiv_rba.problems.velocimetry.navier_stokes import SECOND_ORDER
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.scales import Scales

# Numbers of the largest tensor of a network that are held at a time: in a processor's cache; 1 GB.
NUMBERS_AT_ONCE = {"cpu": 2**22, "cuda": 2**27}
# Times of a series whose fields are held at a time.
TIMES_AT_ONCE = 16


class NondimensionalFlow(Protocol):
    """A nondimensional flow that is known with its derivatives."""

    def jet(self, points: Tensor, order: Order = 2) -> Tensor:
        """Jet (6, N, 4) of (u, v, w, p) at points (N, 4): value, d/dt, d/dx, d/dy, d/dz, lap.

        Of order 1 it ends with the derivatives, of order 0 with the value.
        """
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
        (N, 3, 3), 1/s; row i, column j is d u_i / d x_j. It is empty where only values were asked
        for, and nothing that follows from it is known.
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


def sample(flow: NondimensionalFlow, scales: Scales, points: Array, order: Order = 1) -> Sample:
    """The flow at nondimensional points (N, 4), in SI units; of order 0 without gradients."""
    with torch.no_grad():
        parts = [flow.jet(part, order).cpu().numpy() for part in _parts(flow, points)]
    return in_si(np.concatenate(parts, axis=1), scales)


def sample_series(
    flow: NondimensionalFlow, scales: Scales, positions: Array, times: Array, order: Order = 1
) -> Iterator[Sample]:
    """The flow at nondimensional positions (N, 3) and each of the times (T,), in SI units.

    Of order 0 without gradients.
    """
    return (in_si(jet, scales) for jet in jet_series(flow, positions, times, order))


def jet_series(
    flow: NondimensionalFlow, positions: Array, times: Array, order: Order = 2
) -> Iterator[Array]:
    """Jets (K, N, 4) of a flow at positions (N, 3) and each of the times (T,), nondimensional.

    K is 6, 5 or 1 by their order. A network that gives coefficients in time is evaluated once for
    `TIMES_AT_ONCE` times.
    """
    for start in range(0, len(times), TIMES_AT_ONCE):
        some = times[start : start + TIMES_AT_ONCE]
        with torch.no_grad():
            parts = [
                [jet.cpu().numpy() for jet in _jets(flow, part, some, order)]
                for part in _parts(flow, positions)
            ]
        yield from (np.concatenate(jets, axis=1) for jets in zip(*parts, strict=True))


def _jets(
    flow: NondimensionalFlow, positions: Tensor, times: Array, order: Order
) -> Iterator[Tensor]:
    if isinstance(flow, FlowNetwork):
        yield from flow.jets(positions, times, order)
        return
    for time in times:
        at = torch.cat([torch.full_like(positions[:, :1], time), positions], dim=1)
        yield flow.jet(at, order)


def _parts(flow: NondimensionalFlow, points: Array) -> Iterator[Tensor]:
    """Blocks of points on the device of the flow, which bound the memory."""
    device, count = device_of(flow), points_at_once(flow)
    for start in range(0, len(points), count):
        yield torch.as_tensor(points[start : start + count], dtype=torch.float64, device=device)


def device_of(flow: NondimensionalFlow) -> torch.device:
    """Where a flow is evaluated."""
    return flow.scales.device if isinstance(flow, FlowNetwork) else torch.device("cpu")


def points_at_once(flow: NondimensionalFlow) -> int:
    """Points whose jets are evaluated at a time, by the widest layer of a network."""
    numbers = NUMBERS_AT_ONCE[device_of(flow).type]
    if not isinstance(flow, FlowNetwork):
        return numbers
    # A layer has a row for each neuron, the wall function one for each source.
    widest = max(len(tensor) for tensor in (*flow.parameters(), *flow.buffers()))
    return max(1, numbers // (len(SECOND_ORDER) + 2) // widest)


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
