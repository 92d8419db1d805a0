"""Where in the light sheet particles are: the depths of their tracks, and how far they drift."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Depths at which a posterior density is evaluated: up to so many standard deviations of it, as far
# as slopes alone tell, and how many.
REACH, NODES = 5.0, 41
# Slow rows tell little of the time between rows: below this share of the mean square velocity.
SLOW = 0.01


def drifts(points: Tensor, velocity: Tensor, track: Tensor, depth: int, largest: Tensor) -> Tensor:
    """How far the particle of each row is from the mean depth of its track, (n,), by the flow.

    Along a track dz = w dt, where the time between two rows follows from how far the particle went
    in the plane, dt = dx . v / v^2. So times need not be known, and phases of a period need no
    order. Nondimensional, as all lengths and velocities here.

    Parameters
    ----------
    points
        (n, 4): times and positions of all rows; those of a track in the order in which it was seen,
        or in another one, which makes the drift less accurate.
    velocity
        (n, 3): that of the flow there.
    track
        (n,): number of the track of each row.
    depth
        The coordinate of the points across the light sheet.
    largest
        Scalar: a particle that is seen is no farther from the middle.
    """
    order = torch.argsort(track, stable=True)
    number = track[order]
    step = points[order, 1:].double().diff(dim=0)
    mean = velocity[order].double().unfold(0, 2, 1).mean(-1)
    across = mean[:, depth - 1].clone()
    mean[:, depth - 1] = 0
    square = mean.square().sum(1)
    floor = (SLOW * square.mean()).clamp_min(torch.finfo(square.dtype).tiny)
    rise = across * (step * mean).sum(1) / (square + floor)
    rise = torch.where(number[1:] == number[:-1], rise, 0.0)
    reached = torch.cat([rise.new_zeros(1), rise.cumsum(0)])
    tracks = int(number[-1]) + 1
    sums = reached.new_zeros(2, tracks)
    sums[0].index_add_(0, number, reached)
    sums[1].index_add_(0, number, torch.ones_like(reached))
    found = torch.empty_like(reached)
    found[order] = reached - (sums[0] / sums[1].clamp_min(1))[number]
    return found.clamp(-largest, largest)


def depths_of_tracks(
    residual: Tensor,
    slope: Tensor,
    bend: Tensor,
    weight: Tensor,
    track: Tensor,
    before: Tensor,
    variance: float,
    total: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the depth of the particle of every track, given the flow; both (T,).

    The step of expectation in an expectation maximisation (Dempster, Laird & Rubin 1977) whose
    maximisation is the training. With a velocity that is of the second degree in depth the
    logarithm of the posterior density is of the fourth, and is integrated over the depths as it is:
    were it taken for a Gaussian density, flows would be inferred too fast by some tenths of a
    percent. If the velocity is linear in depth, the flow that both lead to is that of generalised
    least squares, in which the rows of a track share an error (Henderson 1975,
    https://doi.org/10.2307/2529430).

    Parameters
    ----------
    residual, slope, bend
        (n, components) of this rank: measured less inferred velocity at the depths `before`, and
        the first two derivatives of the velocity in depth, all over the noise.
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
    # The squares that slopes see, and by powers of e -(residual - slope e - bend e^2 / 2)^2 / 2.
    powers = torch.stack(
        [
            slope.square(),
            residual * slope,
            (residual * bend - slope.square()) / 2,
            -slope * bend / 2,
            -bend.square() / 8,
        ]
    ).sum(-1)
    rows = (weight * powers).T
    sums = total(rows.new_zeros(len(before), 5).index_add(0, track, rows))
    seen, *coefficients = sums.unsqueeze(-1).unbind(1)
    before = before.unsqueeze(1)
    known = seen + 1 / variance
    middle = before + (coefficients[0] - before / variance) / known
    node = middle + torch.linspace(-REACH, REACH, NODES).to(sums) / known.sqrt()
    logarithm = -node.square() / (2 * variance)
    for power, coefficient in enumerate(coefficients, start=1):
        logarithm = logarithm + coefficient * (node - before) ** power
    density = torch.softmax(logarithm, dim=1)
    mean = (density * node).sum(1)
    return mean, (density * (node - mean.unsqueeze(1)).square()).sum(1)


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


class SharedErrors:
    """Errors of rows of tracks, in units of their noise: independent ones, and those of the depths.

    Rows of a track have the covariance V = I + variance s s^T, where s are the slopes of the
    velocity in depth over the noise.

    Parameters
    ----------
    slope
        (n, components), of whole tracks.
    track
        (n,): number of the track of each row, from 0; rows of a track follow each other.
    variance
        Of the depths.
    """

    def __init__(self, slope: Tensor, track: Tensor, variance: float) -> None:
        self.slope, self.track, self.variance = slope, track, variance
        tracks = int(track[-1]) + 1 if len(track) else 0
        squares = slope.new_zeros(tracks).index_add(0, track, slope.square().sum(1))
        self._square = squares.clamp_min(torch.finfo(slope.dtype).tiny)
        self._root = (1 + variance * squares).sqrt()

    def part(self, rows: slice) -> SharedErrors:
        """Those of some of the rows, which are whole tracks."""
        track = self.track[rows]
        return SharedErrors(self.slope[rows], track - track[0], self.variance)

    def whiten(self, values: Tensor) -> Tensor:
        """V^(-1/2) times values (n, components, k)."""
        return self._along(values, (1 / self._root - 1) / self._square)

    def colour(self, values: Tensor) -> Tensor:
        """V^(1/2) times values (n, components, k)."""
        return self._along(values, (self._root - 1) / self._square)

    def _along(self, values: Tensor, factor: Tensor) -> Tensor:
        slope = self.slope.unsqueeze(-1)
        shape = (len(factor), values.shape[-1])
        sums = values.new_zeros(shape).index_add(0, self.track, (slope * values).sum(1))
        return values + slope * (factor[:, None] * sums)[self.track].unsqueeze(1)
