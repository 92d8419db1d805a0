"""The light sheet: rows of the tracks measure particles above and below the depth they state.

A particle is seen anywhere within the light sheet, so that the mean of many rows at one place is
not the velocity in the middle of the sheet but that velocity plus half the variance of the depths
times its second derivative in depth. The variance shows in the tracks: a particle keeps its depth,
and where the velocity changes with depth all rows of its track are too fast, or all too slow. This
also tells, within limits, where in the sheet each particle is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiv_rba.files.case import Case, Tracks
from aiv_rba.mixture import Mixture

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
    """A flow of which rows of the tracks measure means."""

    def as_measured(self, points: Tensor, *spread: Tensor) -> Tensor:
        """Mean velocity (n, components) over times and positions with deviations (n, 4)."""
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
    """

    def __init__(self, case: Case, depth: int, dtype: torch.dtype, device: torch.device) -> None:
        tracks = case.tracks.rows(case.tracks.validation)
        self.radius = case.radius
        self.depth = depth
        self.component_noise = torch.tensor(
            [case.noise[name] for name in tracks.velocity], dtype=torch.float64, device=device
        )
        self.points = torch.tensor(tracks.points, dtype=dtype, device=device)
        self.measured = torch.tensor(np.stack([*tracks.velocity.values()], axis=1), device=device)
        relative = case.relative_noise[case.tracks.validation]
        self.relative = torch.tensor(relative, device=device)
        self.noise = self.relative * self.component_noise
        self.group = torch.tensor(groups_of(tracks.track), device=device)

    @torch.no_grad()
    def spread(self, flow: SheetFlow, before: Tensor, mixture: Mixture | None) -> float | None:
        """Standard deviation of the depths of particles about those that their rows state.

        None where the flow is too far from the tracks to say.

        Parameters
        ----------
        flow
            The inferred flow.
        before
            (4,): the last estimate, and the standard deviations of the other coordinates.
        mixture
            Of matched and mismatched rows; None if all count.
        """
        slope = self.slope(flow, self.points)
        mean = flow.as_measured(self.points, before.expand(len(self.points), 4))
        residual = self.measured - mean
        weight = torch.ones_like(residual[:, 0])
        if mixture is not None:
            # Else rows of a particle far from the middle would be taken for mismatches.
            aside = before[self.depth] * slope / mixture.deviation
            wider = torch.hypot(self.relative, aside)
            weight = mixture.probability(residual, self.measured, wider)
        residual, slope = residual / self.noise, slope / self.noise
        found = depth_variance(residual, slope, weight, self.group)
        variance = min(found, (LARGEST * self.radius) ** 2)
        left = (residual.square() / (1 + variance * slope.square())).mean(1)
        near = float(weight @ left) < NEAR * float(weight.sum())
        return variance**0.5 if near else None

    def slope(self, flow: SheetFlow, points: Tensor) -> Tensor:
        """Derivative of the velocity in depth, (n, components), at points (n, 4)."""
        step = points.new_full((len(points),), STEP * self.radius)
        above, below = flow.beside(points, self.depth, step)
        slope: Tensor = (above - below).double() / (2 * STEP * self.radius)
        return slope


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


def depths_of_tracks(
    residual: Tensor,
    slope: Tensor,
    weight: Tensor,
    track: Tensor,
    before: Tensor,
    variance: float,
    total: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Depth of the particle of every track, and the variance that remains of it, both (T,).

    Given the flow, the depth of a particle and the residuals of its rows are Gaussian variables, so
    these are the mean and the variance of a Gaussian posterior: the step of expectation in an
    expectation maximisation (Dempster, Laird & Rubin 1977) whose maximisation is the training. The
    flow that both lead to is that of generalised least squares, in which the rows of a track share
    an error (Henderson 1975, https://doi.org/10.2307/2529430). No particle is farther from the
    middle than the sheet is thick, if its depths are equally spread.

    Parameters
    ----------
    residual, slope
        (n, components) of this rank: measured less inferred velocity at the depths `before`, and
        the derivative of the velocity in depth, both over the noise.
    weight
        (n,): probability that the row is no mismatch.
    track
        (n,): number of the track of each row.
    before
        (T,): the depths, about those that the rows state, at which the flow was taken.
    variance
        Of the depths of all particles.
    total
        Sum over ranks.
    """
    if not variance:
        return torch.zeros_like(before), torch.zeros_like(before)
    rows = torch.stack([weight * (residual * slope).sum(1), weight * slope.square().sum(1)], dim=1)
    drawn, seen = total(rows.new_zeros(len(before), 2).index_add(0, track, rows)).unbind(1)
    known = seen + 1 / variance
    largest = (3 * variance) ** 0.5
    found = before + (drawn - before / variance) / known
    return found.clamp(-largest, largest), 1 / known


def unexplained(
    values: Tensor,
    slope: Tensor,
    weight: Tensor,
    track: Tensor,
    tracks: int,
    variance: float,
    total: Callable[[Tensor], Tensor],
) -> float:
    """Share of the squares of values that depths of particles do not make up; above 0.

    If the values were residuals, the depths that follow from them would take the rest away.

    Parameters
    ----------
    values, slope
        (n, components), over the noise.
    weight, track, variance, total
        Those of `depths_of_tracks`.
    tracks
        Number of tracks.
    """
    products = torch.stack([values * slope, slope.square(), values.square()]).sum(-1).T
    rows = weight[:, None] * products
    drawn, seen, squares = total(rows.new_zeros(tracks, 3).index_add(0, track, rows)).unbind(1)
    taken = drawn.square() / (seen + 1 / variance)
    return 1 - float(taken.sum() / squares.sum().clamp_min(torch.finfo(rows.dtype).tiny))
