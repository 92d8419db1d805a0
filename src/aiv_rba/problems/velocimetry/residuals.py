"""Residuals of no-slip, tracks and equations; Eqs. 33-41."""

from __future__ import annotations

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
        # Column of the points.
        self.depth = 0 if depth is None else 1 + depth
        # On the device: an index that lies on the host would make a GPU wait.
        columns = torch.tensor(components, device=network.scales.device)
        self.register_buffer("components", columns, persistent=False)

    def forward(self, inputs: dict[str, tuple[Tensor, ...]]) -> Blocks:
        """Residuals (n, terms) of each block; velocities of wall and tracks in one pass."""
        if "no_slip" not in inputs or "tracks" not in inputs:
            return super().forward(inputs)
        (wall,), (points, measured, *spread) = inputs["no_slip"], inputs["tracks"]
        mean = [self.beside(points, each).mean(0) for each in spread]
        velocity = self.network.value(torch.cat([wall, points]))
        at_wall, at_tracks = torch.split(velocity, [len(wall), len(points)])
        found = {
            "no_slip": at_wall[:, :3],
            "tracks": self._moved(at_tracks[:, self.components], *mean) - measured,
        }
        rest = {block: tensors for block, tensors in inputs.items() if block not in found}
        return found | super().forward(rest)

    def no_slip(self, points: Tensor) -> Tensor:
        """Velocity at the wall, (n, 3)."""
        return self.network.value(points)[:, :3]

    def tracks(self, points: Tensor, measured: Tensor, *spread: Tensor) -> Tensor:
        """Mean velocity in the light sheet less measured velocity, (n, components)."""
        return self.in_sheet(points, *spread) - measured

    def in_sheet(self, points: Tensor, *spread: Tensor) -> Tensor:
        """Mean velocity (n, components) in the light sheet round points (n, 4).

        It is the mean at one standard deviation of the depths above and below, which is right for
        a velocity of the third degree in depth. It differs so little from the velocity at the
        points that the gradient of the difference is left out.

        Parameters
        ----------
        points
            Points in the middle of the sheet.
        spread
            Standard deviation of the depths (n, 1); left out where depths are measured.
        """
        # The points come last, since the Jacobian is that of the layers' last pass.
        mean = [self.beside(points, each).mean(0) for each in spread]
        velocity = self.network.value(points)[:, self.components]
        return self._moved(velocity, *mean)

    @torch.no_grad()
    def beside(self, points: Tensor, distance: Tensor) -> Tensor:
        """Velocities (2, n, components) at distances (n, 1) in depth above and below points."""
        step = torch.zeros_like(points)
        step[:, self.depth] = distance[:, 0]
        return torch.stack(
            [self.network.value(at)[:, self.components] for at in (points + step, points - step)]
        )

    @staticmethod
    def _moved(velocity: Tensor, *mean: Tensor) -> Tensor:
        """The mean instead of a velocity, with its gradient."""
        return velocity + (mean[0] - velocity).detach() if mean else velocity

    def navier_stokes(self, points: Tensor) -> Tensor:
        """Momentum and mass, (n, 4)."""
        return navier_stokes.residuals(self.network.jet(points), self.inertia, self.diffusion)
