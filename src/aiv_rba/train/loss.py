"""The nine terms of the loss; Eqs. 39-41."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aiv_rba import config
from aiv_rba.errors import RankError
from aiv_rba.nn.flow import FlowNetwork
from aiv_rba.parallel.ddp import Ranks
from aiv_rba.pde import navier_stokes
from aiv_rba.scales import Scales
from aiv_rba.train.batches import Batch
from aiv_rba.weights import Blocks

TERMS = {
    "no_slip": ("no_slip_u", "no_slip_v", "no_slip_w"),
    "tracks": ("tracks_u", "tracks_v", "tracks_w"),
    "navier_stokes": ("momentum_x", "momentum_y", "momentum_z", "mass"),
}


class Residuals(nn.Module):
    """Residuals of a batch, block by block.

    They are computed inside `forward`, because DistributedDataParallel reduces only the
    gradients of what its wrapped module computes.
    """

    def __init__(self, network: FlowNetwork, scales: Scales, components: list[int]) -> None:
        super().__init__()
        self.network = network
        self.inertia = scales.inertia
        self.diffusion = scales.diffusion
        self.components = components

    def forward(self, wall: Tensor, tracks: Tensor, measured: Tensor, interior: Tensor) -> Blocks:
        """Residuals (n, terms) of each block."""
        return {
            "no_slip": self.no_slip(wall),
            "tracks": self.tracks(tracks, measured),
            "navier_stokes": self.navier_stokes(interior),
        }

    def no_slip(self, points: Tensor) -> Tensor:
        """Velocity at the wall, (n, 3)."""
        return self.network.value(points)[:, :3]

    def tracks(self, points: Tensor, measured: Tensor) -> Tensor:
        """Velocity less measured velocity, (n, components)."""
        return self.network.value(points)[:, self.components] - measured

    def navier_stokes(self, points: Tensor) -> Tensor:
        """Momentum and mass, (n, 4)."""
        return navier_stokes.residuals(self.network.jet(points), self.inertia, self.diffusion)


def of_batch(residuals: nn.Module, batch: Batch) -> Blocks:
    """Residuals of a batch, through the module's forward."""
    points = batch.points
    blocks: Blocks = residuals(
        points["no_slip"], points["tracks"], batch.measured, points["navier_stokes"]
    )
    return blocks


def check_finite(batch: Batch, residuals: Blocks) -> None:
    """Stop at the first residual that is not a finite number.

    Raises
    ------
    RankError
        Naming the step, its term, its group or track row on this rank, and the point.
    """
    for block, e in residuals.items():
        finite = e.isfinite()
        if finite.all():
            continue
        i, term = (int(number) for number in (~finite).nonzero()[0])
        t, x, y, z = batch.points[block][i].tolist()
        kind = "track row" if block == "tracks" else "group"
        raise RankError(
            f"step {batch.step + 1}: residual {TERMS[block][term]} is {e[i, term].item()} in this "
            f"rank's {kind} {int(batch.rows[block][i])} at (t, x, y, z) = ({t:.5g}, {x:.5g}, "
            f"{y:.5g}, {z:.5g}), nondimensional; expected a finite number: lower the learning "
            "rate or raise the damping; the last checkpoint is kept"
        )


def global_weights(weights: config.GlobalWeights, components: list[int]) -> dict[str, list[float]]:
    """Global weights w of the terms of each block."""
    return {
        "no_slip": list(weights.no_slip),
        "tracks": [weights.tracks[component] for component in components],
        "navier_stokes": [*weights.momentum, weights.mass],
    }


def cauchy_weights(residuals: Tensor, ranks: Ranks) -> Tensor:
    """Square roots of Cauchy's robust weights 1 / (1 + (e / c s)^2), (n, terms).

    s is the normalised median absolute deviation over all ranks, c = 2.385 (95 percent efficiency
    on Gaussian noise; Holland & Welsch 1977). Mismatched tracks then hardly pull.
    """
    e = residuals.detach()
    spread = 1.4826 * ranks.gather(e.abs()).median(dim=0).values
    scaled = e / (2.385 * spread).clamp_min(torch.finfo(e.dtype).tiny)
    return torch.rsqrt(1 + scaled.square())


def term_losses(rows: Blocks, ranks: Ranks) -> dict[str, float]:
    """Loss of each term over all ranks, from weighted residual rows."""
    sums = torch.cat([values.detach().double().square().sum(0) for values in rows.values()])
    names = [name for block, values in rows.items() for name in TERMS[block][: values.shape[1]]]
    return dict(zip(names, ranks.sum(sums).tolist(), strict=True))
