"""Where in the light sheet particles are: the depths of their tracks, and how far they drift."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Depths at which a posterior density is evaluated: up to so many standard deviations of it, as far
# as slopes alone tell, and how many.
REACH, NODES = 5.0, 41
# At least so much of the squares of rows is not made up by depths of their particle.
LEAST_LEFT = 1e-3
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
    """Depths (T,) of the particles of all tracks, given the flow, and their covariances (T, 2, 2).

    The mean of the depths that a particle may have, and the covariance of d and d^2 / 2, where d is
    the depth less this mean: its velocity follows from these two.

    This is the step of expectation in an expectation maximisation (Dempster, Laird & Rubin 1977)
    whose maximisation is the training. With a velocity that is of the second degree in depth the
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
        return torch.zeros_like(before), before.new_zeros(len(before), 2, 2)
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
    aside = node - mean.unsqueeze(1)
    rises = torch.stack([aside, aside.square() / 2], dim=1)
    rises = rises - (density.unsqueeze(1) * rises).sum(2, keepdim=True)
    return mean, torch.einsum("tn,tin,tjn->tij", density, rises, rises)


def information(
    values: Tensor,
    changes: Tensor,
    weight: Tensor,
    track: Tensor,
    covariance: Tensor,
    total: Callable[[Tensor], Tensor],
) -> Tensor:
    """V^T (I - S C S^T) V, (k, k): what rows tell that change by V, as in `SharedErrors`.

    Rows of a track may be on several ranks here.

    Parameters
    ----------
    values
        (n, components, k): V, over the noise.
    changes
        (n, components, 2): S, the first two derivatives of the velocity in depth, over the noise.
    weight, track, total
        Those of `depths_of_tracks`.
    covariance
        (T, 2, 2): C, from there.
    """
    weighted = weight[:, None, None] * changes
    products = torch.cat([values, changes], dim=-1).mT @ weighted
    tracks, count = len(covariance), values.shape[-1]
    sums = total(products.new_zeros(tracks, count + 2, 2).index_add(0, track, products))
    _, modes = _modes(covariance, sums[:, count:])
    along = (sums[:, :count] @ modes).transpose(0, 1).flatten(1)
    whole = total(torch.einsum("n,nci,ncj->ij", weight, values, values))
    return whole - along @ along.T


class SharedErrors:
    """What rows of tracks tell of the flow, given that the depths of their particles are not known.

    If rows are taken at the mean depths the score of the loss, J^T r, varies with the depths d by
    J^T S (d, d^2 / 2) about that of the mean, where S holds the first two derivatives of the
    velocity in depth over the noise. The information that is missing is the covariance of the
    score (Louis 1982, https://doi.org/10.1111/j.2517-6161.1982.tb01203.x), so that the rows of a
    track count as J^T (I - S C S^T) J and not as J^T J. If the velocity is linear in depth that is
    J^T V^(-1) J with V = I + variance s s^T, the covariance of the residuals.

    Parameters
    ----------
    changes
        (n, components, 2): S, of whole tracks.
    track
        (n,): number of the track of each row, from 0; rows of a track follow each other.
    covariance
        (T, 2, 2): C, from `depths_of_tracks`.
    """

    def __init__(self, changes: Tensor, track: Tensor, covariance: Tensor) -> None:
        self.changes, self.track, self.covariance = changes, track, covariance
        squares = torch.einsum("nci,ncj->nij", changes, changes)
        gram = squares.new_zeros(len(covariance), 2, 2).index_add(0, track, squares)
        taken, modes = _modes(covariance, gram)
        self._left = (1 - taken).sqrt()
        self._modes = changes @ modes[track]

    def part(self, rows: slice) -> SharedErrors:
        """Those of some of the rows, which are whole tracks."""
        track = self.track[rows]
        covariance = self.covariance[int(track[0]) : int(track[-1]) + 1]
        return SharedErrors(self.changes[rows], track - track[0], covariance)

    def whiten(self, values: Tensor) -> Tensor:
        """(I - S C S^T)^(1/2) times values (n, components, k)."""
        return self._along(values, -1 / (1 + self._left))

    def colour(self, values: Tensor) -> Tensor:
        """(I - S C S^T)^(-1/2) times values (n, components, k)."""
        return self._along(values, 1 / (self._left * (1 + self._left)))

    def _along(self, values: Tensor, factor: Tensor) -> Tensor:
        products = torch.einsum("ncm,nck->nmk", self._modes, values)
        sums = products.new_zeros(len(factor), *products.shape[1:]).index_add(
            0, self.track, products
        )
        return values + self._modes @ (factor.unsqueeze(-1) * sums)[self.track]


def _modes(covariance: Tensor, gram: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues (T, 2) of S C S^T, and A (T, 2, 2): S A are the eigenvectors times their roots.

    Of the `covariance` C and the `gram` matrix S^T S of every track. Eigenvalues are below one.
    """
    size, axes = torch.linalg.eigh(covariance)
    root = axes * size.clamp_min(0).sqrt().unsqueeze(1)
    found, axes = torch.linalg.eigh(root.mT @ gram @ root)
    taken = found.clamp(0, 1 - LEAST_LEFT)
    scale = (taken / found.clamp_min(torch.finfo(found.dtype).tiny)).sqrt()
    return taken, root @ axes * scale.unsqueeze(1)
