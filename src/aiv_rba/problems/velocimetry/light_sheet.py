"""The light sheet: rows of the tracks measure particles above and below the depth they state.

A particle is seen anywhere within the light sheet, so that the mean of many rows at one place is
not the velocity in the middle of the sheet but that velocity plus half the variance of the depths
times its second derivative in depth. The variance shows in the tracks: a particle drifts through
the sheet with the flow only, and where the velocity changes with depth all rows of its track are
too fast, or all too slow. This also tells, within limits, where in the sheet each particle is
(`depths`).
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiv_rba.files.case import Case, Tracks
from aiv_rba.mixture import Mixture
from aiv_rba.problems.velocimetry.depths import drifts
from aiv_rba.ranks.ddp import Ranks

# Rows of a track whose velocities may share an error of position lie less than so many frames
# apart: those of central differences share one with the next but one.
APART = 3
# Largest standard deviation of the depths, in hydraulic radii, and step of differences in depth.
LARGEST, STEP = 0.15, 0.02
# Largest mean square of the residuals of matched rows, over that of their noise and depths. A flow
# that is farther from the tracks says nothing of their depths.
NEAR = 1.5


def depth_of(tracks: Tracks) -> int | None:
    """The coordinate across the light sheet, 0 to 2: that of the component not measured, if any."""
    missing = [axis for axis, name in enumerate("uvw") if name not in tracks.velocity]
    return missing[0] if len(missing) == 1 else None


def groups_of(track: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers (N,) from 0 of groups of rows that share a track but no error of position.

    Every third row of a track, in the order of the rows.
    """
    order = np.argsort(track, kind="stable")
    _, first, number = np.unique(track[order], return_index=True, return_inverse=True)
    groups = np.empty(len(track), dtype=np.int64)
    groups[order] = APART * number + (np.arange(len(track)) - first[number]) % APART
    return groups


class SheetFlow(Protocol):
    """A flow of which rows of the tracks measure means of some components."""

    components: Tensor

    def velocity(self, points: Tensor) -> Tensor:
        """Velocity (n, 3) at points (n, 4)."""
        ...

    def as_measured(self, points: Tensor, deviation: Tensor | None = None) -> Tensor:
        """Mean velocity (n, components) over time and over depths of these deviations (n,)."""
        ...

    def beside(self, points: Tensor, coordinate: int, distance: Tensor) -> Tensor:
        """Velocities (2, n, components) at distances (n,) above and below points."""
        ...


class LightSheet:
    """The held-out rows of the tracks, in which the thickness of the light sheet shows.

    The network follows the tracks that it sees to some extent, so that these would show less of it.

    Parameters
    ----------
    case
        The experiment.
    depth
        The coordinate of the points (n, 4) across the light sheet.
    noise
        (components,): standard deviation of the noise of a row.
    ranks
        Each of them evaluates the flow at its share of the rows.
    """

    def __init__(
        self, case: Case, depth: int, noise: Tensor, dtype: torch.dtype, ranks: Ranks
    ) -> None:
        device = ranks.device
        tracks = case.tracks.rows(case.tracks.validation)
        self.ranks = ranks
        self.radius = case.radius
        self.depth = depth
        self.points = torch.tensor(tracks.points, dtype=dtype, device=device)
        self.measured = torch.tensor(np.stack([*tracks.velocity.values()], axis=1), device=device)
        relative = case.relative_noise[case.tracks.validation]
        self.relative = torch.tensor(relative, device=device)
        self.noise = self.relative * noise
        self.group = torch.tensor(groups_of(tracks.track), device=device)
        self.track = torch.tensor(tracks.track, device=device)

    @torch.no_grad()
    def spread(self, flow: SheetFlow, before: Tensor, mixture: Mixture | None) -> float | None:
        """Standard deviation of the depths of particles about those that their rows state.

        None where the flow is too far from the tracks to say.

        Parameters
        ----------
        flow
            The inferred flow.
        before
            The last estimate, a scalar.
        mixture
            Of matched and mismatched rows; None if all count.
        """
        own, gather = self.ranks.share(len(self.points)), self.ranks.gather
        points = self.points[own].clone()
        drift = self.drifts(self.points, gather(flow.velocity(points)), self.track, before)
        points[:, self.depth] += drift[own].to(points)
        mean = gather(flow.as_measured(points, before.to(points).expand(len(points))))
        slope = gather(self.derivatives(flow, points)[..., 0])
        residual = self.measured - mean
        weight = torch.ones_like(residual[:, 0])
        if mixture is not None:
            # Else rows of a particle far from the middle would be taken for mismatches.
            wider = torch.hypot(self.relative, before * slope / mixture.deviation)
            weight = mixture.probability(residual, self.measured, wider)
        residual, slope = residual / self.noise, slope / self.noise
        found = depth_variance(residual, slope, weight, self.group)
        variance = min(found, (LARGEST * self.radius) ** 2)
        left = (residual.square() / (1 + variance * slope.square())).mean(1)
        near = float(weight @ left) < NEAR * float(weight.sum())
        return variance**0.5 if near else None

    def drifts(self, points: Tensor, velocity: Tensor, track: Tensor, spread: Tensor) -> Tensor:
        """How far particles are from the mean depth of their track, within the sheet, (n,)."""
        return drifts(points, velocity, track, self.depth, math.sqrt(12) * spread)

    def derivatives(self, flow: SheetFlow, points: Tensor) -> Tensor:
        """The first two derivatives of the velocity in depth, (n, components, 2)."""
        step = STEP * self.radius
        aside = points.new_full((len(points),), step)
        above, below = flow.beside(points, self.depth, aside).double()
        middle = flow.velocity(points)[:, flow.components].double()
        slope, bend = (above - below) / (2 * step), (above - 2 * middle + below) / step**2
        return torch.stack([slope, bend], dim=-1)


def depth_variance(
    residual: Tensor,
    slope: Tensor,
    weight: Tensor,
    group: Tensor,
) -> float:
    """Variance of the depths of particles about those that their rows state.

    If a particle is off by d in depth, the residuals of its rows are d times the slopes of the
    velocity plus independent noise. Products of two rows of a track therefore have the mean
    <d^2> times the product of their slopes.

    Parameters
    ----------
    residual, slope
        (n, components): measured less inferred velocity, and its derivative in depth, both over
        the noise.
    weight
        (n,): probability that the row is no mismatch.
    group
        (n,): group of each row, from `groups_of`.
    """
    projected = torch.stack(
        [weight * (residual * slope).sum(1), weight * slope.square().sum(1)], dim=1
    )
    sums, squares = (
        projected.new_zeros(int(group.max()) + 1, 2).index_add(0, group, values)
        for values in (projected, projected.square())
    )
    # Group by group, so that a row alone adds nothing but zero.
    pairs = (sums.square() - squares).sum(0)
    found, expected = pairs.tolist()
    return found / expected if expected > 0 and found > 0 else 0.0
