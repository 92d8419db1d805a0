"""Residuals of no-slip, tracks and equations; Eqs. 33-41."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aiv_rba.problem import Blocks, Residuals
from aiv_rba.problems.velocimetry import navier_stokes
from aiv_rba.problems.velocimetry.network import FlowNetwork


class FlowResiduals(Residuals):
    """The nine terms of the loss, Eqs. 39-41; six where no-slip is exact."""

    network: FlowNetwork
    components: Tensor

    def __init__(
        self,
        network: FlowNetwork,
        inertia: float,
        diffusion: float,
        components: list[int],
        *,
        soft_wall: bool,
        interval: float = 0.0,
        depth: int | None = None,
    ) -> None:
        super().__init__(network)
        self.terms = {"no_slip": ("no_slip_u", "no_slip_v", "no_slip_w")} if soft_wall else {}
        self.terms |= {
            "tracks": ("tracks_u", "tracks_v", "tracks_w"),
            "navier_stokes": ("momentum_x", "momentum_y", "momentum_z", "mass"),
        }
        self.governing = "navier_stokes"
        self.inertia = inertia
        self.diffusion = diffusion
        # A row of the tracks is a mean over this time, and perhaps over this coordinate.
        self.interval = interval
        self.depth = depth
        # On the device: an index that lies on the host would make a GPU wait.
        columns = torch.tensor(components, device=network.scales.device)
        self.register_buffer("components", columns, persistent=False)

    def forward(self, inputs: dict[str, tuple[Tensor, ...]]) -> Blocks:
        """Residuals (n, terms) of each block; velocities of wall and tracks in one pass."""
        if "no_slip" not in inputs or "tracks" not in inputs:
            return super().forward(inputs)
        (wall,), (points, measured) = inputs["no_slip"], inputs["tracks"]
        both = torch.cat([wall, points])
        values, means = self._over_time(both, slice(len(wall), None))
        at_wall, at_tracks = torch.split(values, [len(wall), len(points)])
        found = {
            "no_slip": at_wall[:, :3],
            "tracks": self._moved(at_tracks[:, self.components], means) - measured,
        }
        rest = {block: tensors for block, tensors in inputs.items() if block not in found}
        return found | super().forward(rest)

    def no_slip(self, points: Tensor) -> Tensor:
        """Velocity at the wall, (n, 3)."""
        return self.velocity(points)

    def tracks(self, points: Tensor, measured: Tensor) -> Tensor:
        """Velocity as it would be measured less measured velocity, (n, components)."""
        return self.as_measured(points) - measured

    def as_measured(self, points: Tensor, deviation: Tensor | None = None) -> Tensor:
        """Mean velocity (n, components) that rows of the tracks at points (n, 4) measure.

        It is a mean over the time between the positions that a velocity is computed from, and over
        the depths that a particle may have in the light sheet. Over each coordinate it is the mean
        at one standard deviation to both sides, which is right for a velocity of the third degree
        in it. The mean differs so little from the velocity at the points that the gradient of the
        difference is left out.

        Parameters
        ----------
        points
            Times and positions that the rows state.
        deviation
            Standard deviations (n,) of the depths about these; left out where particles are taken
            to be at the points.
        """
        over_depth = []
        if deviation is not None and self.depth is not None:
            over_depth = [self.beside(points, self.depth, deviation).mean(0)]
        # The points come last, since the Jacobian is that of the layers' last pass.
        values, over_time = self._over_time(points)
        return self._moved(values[:, self.components], over_depth + over_time)

    def scaled_in_time(self, points: Tensor, matrices: Tensor) -> Tensor:
        """As measured, of flows whose coefficients in time are multiplied by matrices (k, m, m).

        (n, components, k), of particles that are at the points.
        """
        found = self.network.scaled_in_time(points, matrices, self.interval / math.sqrt(12))
        return found[..., self.components].movedim(0, -1)

    def velocity(self, points: Tensor) -> Tensor:
        """Velocity (n, 3) at points (n, 4)."""
        return self.network.value(points)[:, :3]

    @torch.no_grad()
    def beside(self, points: Tensor, coordinate: int, distance: Tensor) -> Tensor:
        """Velocities (2, n, components) at distances (n,) above and below points."""
        step = torch.zeros_like(points)
        step[:, coordinate] = distance
        return torch.stack(
            [self.network.value(at)[:, self.components] for at in (points + step, points - step)]
        )

    def _over_time(self, points: Tensor, own: slice = slice(None)) -> tuple[Tensor, list[Tensor]]:
        """Values (N, 4), and mean velocities (n, components) of some over the interval, if any."""
        if not self.interval:
            return self.network.value(points), []
        values, mean = self.network.value_and_mean(points, self.interval / math.sqrt(12), own)
        return values, [mean[:, self.components]]

    @staticmethod
    def _moved(velocity: Tensor, means: list[Tensor]) -> Tensor:
        """The mean over all coordinates instead of a velocity, with its gradient."""
        return velocity + sum((mean - velocity).detach() for mean in means)

    def navier_stokes(self, points: Tensor) -> Tensor:
        """Momentum and mass, (n, 4)."""
        return navier_stokes.residuals(self.network.jet(points), self.inertia, self.diffusion)
