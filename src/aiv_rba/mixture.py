"""Matched and mismatched rows of the tracks, of all ranks: a mixture of two Gaussians.

No rank needs the rows of another one: what a fit takes are sums over all rows, and medians, which
are found digit by digit from histograms, exactly. Nothing waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from aiv_rba.files.formats import Array

Total = Callable[[Tensor], Tensor]
"""Sum of a tensor over ranks, which may overwrite it."""


@dataclass(frozen=True)
class Everyone:
    """The rows of all ranks together: how many there are, and what sums over ranks."""

    count: int
    total: Total


# Share of mismatched rows: at first, and at most.
FIRST_SHARE, LARGEST_SHARE = 0.05, 0.3
# Bits of a digit of a floating-point number, in the search for medians.
DIGIT = 11
# Standard deviation of a Gaussian over its median absolute value.
GAUSSIAN = 1.4826
# How many times the median squared residual of all n rows that of the faster half may be before the
# flow is held to be too slow: fast rows have more noise in thick light sheets (1.5 times on the
# bundled tracks). Twice the standard deviation by chance is about six over the root of n.
FASTER, CHANCE = 2.0, 6.0


@dataclass(frozen=True)
class Mixture:
    """A mixture of two kinds of rows.

    Residuals (N, components) of matched ones are Gaussian; a mismatched row has the velocity of any
    other track, so its measured velocity (N, components) has the Gaussian distribution of all of
    them. Unlike weights that fall slowly with the residual, the probabilities hardly shrink the
    flow towards the mean of the mismatches.

    A flow that is inferred too slow leaves residuals that are proportional to the velocity. These
    are no mismatches: if they were taken for such, only the slow rows would count, which a flow at
    rest meets.

    Attributes
    ----------
    deviation
        (components,) standard deviation of the matched residuals where the measured velocity is
        zero.
    slope
        (components,) the part of it that is proportional to the measured velocity.
    centre, width
        (components,) mean and standard deviation of the measured velocities.
    share
        (1,) share of mismatched rows.
    """

    deviation: Tensor
    slope: Tensor
    centre: Tensor
    width: Tensor
    share: Tensor

    def probability(self, residual: Tensor, measured: Tensor, relative: Tensor) -> Tensor:
        """Probability (n,) that a row is matched.

        Parameters
        ----------
        residual, measured
            (n, components) residuals and measured velocities.
        relative
            (n, components) standard deviation of the matched residual of each row over that of its
            component.
        """
        return _probability(self._odds(residual, measured, relative), self.share)

    def _odds(self, residual: Tensor, measured: Tensor, relative: Tensor) -> Tensor:
        """Density of mismatched rows over that of matched ones, (n,)."""
        spread = torch.hypot(self.deviation * relative, self.slope * measured)
        width = torch.maximum(self.width, spread)
        matched = -((residual / spread).square() / 2 + spread.log()).sum(1)
        mismatched = -(((measured - self.centre) / width).square() / 2 + width.log()).sum(1)
        return (mismatched - matched).clamp(-100, 100).exp()


def fit(
    residual: Tensor,
    measured: Tensor,
    relative: Tensor,
    *,
    least: Tensor | float = 0.0,
    everyone: Everyone | None = None,
) -> Mixture:
    """Fit a mixture to the rows of all ranks; every rank calls this.

    The standard deviation of matched residuals follows from the median absolute residual, that of
    all rows and that of the faster half of them, and the share of mismatches from a few steps of
    expectation maximisation (Hogg, Bovy & Lang 2010, section 3).

    Parameters
    ----------
    residual, measured, relative
        (n, components) of this rank, double precision; see `Mixture.probability`.
    least
        (components,) least standard deviation of matched residuals.
    everyone
        The rows of all ranks; None: these are all.
    """
    mean = partial(_mean, everyone=everyone)
    deviation, slope, largest = _deviations(residual / relative, measured / relative, everyone)
    # Where most rows are met exactly the others still have a finite distance.
    rounding = (1e-9 * largest).clamp_min(torch.finfo(residual.dtype).tiny)
    deviation = torch.maximum(deviation, rounding.clamp_min(least))
    centre = mean(measured)
    width = mean((measured - centre).square()).sqrt()
    start = torch.full_like(width[:1], FIRST_SHARE)
    mixture = Mixture(deviation, slope, centre, width, start)
    odds = mixture._odds(residual, measured, relative)
    share = start
    for _ in range(5):
        matched = mean(_probability(odds, share)[:, None])
        share = (1 - matched).clamp(1e-6, LARGEST_SHARE)
    return Mixture(deviation, slope, centre, width, share)


def amplitude_bias(
    predicted: Tensor,
    measured: Tensor,
    everyone: Everyone | None = None,
    track: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """By how much the measured flow exceeds the predicted one, and its standard error.

    For each component (n, components), sum(measured predicted) / sum(predicted^2) - 1, with rows
    weighted by the probability that they match. Equations that the network cannot meet
    shrink the flow; errors on held-out rows hardly show that, this does.

    The standard error is that of independent rows; with the tracks (n,) of all rows, that of
    independent tracks whose rows may share errors (Liang & Zeger 1986).
    """
    residual = measured - predicted
    equal = torch.ones_like(residual)
    mixture = fit(residual, measured, equal, everyone=everyone)
    probability = mixture.probability(residual, measured, equal)
    sums = torch.stack([probability @ predicted.square(), probability @ (measured * predicted)])
    squares, products = everyone.total(sums) if everyone else sums
    squares = squares.clamp_min(torch.finfo(squares.dtype).tiny)
    bias = products / squares - 1
    if track is not None:
        errors = probability[:, None] * predicted * (measured - (1 + bias) * predicted)
        of_track = errors.new_zeros(int(track.max()) + 1, errors.shape[1])
        of_track.index_add_(0, track, errors)
        return bias, of_track.norm(dim=0) / squares
    (middle,) = _quantiles(residual.abs(), (0.5,), everyone)
    deviation = GAUSSIAN * middle
    return bias, deviation / squares.sqrt()


def order_statistics(values: Tensor, numbers: Sequence[int], total: Total) -> Tensor:
    """The values of these numbers, from 0, in the sorted columns of all ranks together; exact.

    The bits of non-negative numbers, read as integers, have their order. So histograms of one digit
    of these integers, the highest first, tell the digit of the value in question.

    Parameters
    ----------
    values
        (n, columns) of this rank, double precision, not negative.
    numbers
        Numbers of the wanted values.
    total
        Sum over ranks.

    Returns
    -------
    Tensor
        (numbers, columns).
    """
    bits = values.contiguous().view(torch.int64)
    columns = values.shape[1]
    bins = 2**DIGIT
    shape = (len(numbers), columns)
    before = torch.stack([bits.new_full((columns,), number) for number in numbers])
    found = bits.new_zeros(shape)
    offset = bins * torch.arange(columns, device=bits.device)
    for shift in range(5 * DIGIT, -1, -DIGIT):
        digit = (bits >> shift) & (bins - 1)
        higher = (bits >> shift) >> DIGIT
        place = (digit + offset).flatten()
        histograms = bits.new_zeros(len(numbers), columns * bins)
        for histogram, known in zip(histograms, found, strict=True):
            histogram.scatter_add_(0, place, (higher == known).long().flatten())
        whole = total(histograms).view(*shape, bins)
        up_to = whole.cumsum(-1)
        here = (up_to <= before[..., None]).sum(-1, keepdim=True).clamp_max(bins - 1)
        before = before - (up_to - whole).gather(-1, here)[..., 0]
        found = (found << DIGIT) | here[..., 0]
    return found.view(values.dtype)


def _probability(odds: Tensor, share: Tensor) -> Tensor:
    return 1 / (1 + odds * share / (1 - share))


def _mean(values: Tensor, everyone: Everyone | None) -> Tensor:
    """Mean (columns,) of the rows (n, columns) of all ranks."""
    return everyone.total(values.sum(0)) / everyone.count if everyone else values.mean(0)


def _deviations(
    residual: Tensor, measured: Tensor, everyone: Everyone | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Deviation and slope of the matched residuals, see `Mixture`, and the largest residual.

    The median absolute residual is right for Gaussian ones, whatever the mismatches. Where that of
    the faster half of the rows is much larger, what exceeds it is proportional to the velocity.
    """
    size, speed = residual.abs(), measured.abs()
    columns = size.shape[1]
    both = torch.cat([size, speed], dim=1)
    middle, faster, largest = _quantiles(both, (0.5, 0.75, 1.0), everyone)
    half = speed > middle[columns:]
    # Rows of the slower half are zero, so that the median of the others is the third quartile.
    (middle_of_fast,) = _quantiles(torch.where(half, size, 0.0), (0.75,), everyone)
    of_all, of_fast = middle[:columns].square(), middle_of_fast.square()
    apart = faster[columns:].square() - middle[columns:].square()
    rows = everyone.count if everyone else len(size)
    excess = (of_fast - (FASTER + CHANCE / math.sqrt(rows)) * of_all).clamp_min(0)
    slope = torch.where(apart > 0, excess / apart, 0.0)
    rest = (of_all - slope * middle[columns:].square()).clamp_min(0)
    return GAUSSIAN * rest.sqrt(), GAUSSIAN * slope.sqrt(), largest[:columns]


def _quantiles(
    values: Tensor, shares: Sequence[float], everyone: Everyone | None
) -> tuple[Tensor, ...]:
    """Quantiles (columns,) of the rows (n, columns) of all ranks; values are not negative.

    The median of an even number of rows is the mean of the two in the middle.
    """
    last = (everyone.count if everyone else len(values)) - 1
    numbers = [rounded(share * last) for share in shares for rounded in (math.floor, math.ceil)]
    if everyone:
        found = order_statistics(values, numbers, everyone.total)
    else:
        # One by one: a list of numbers would have to be copied to the device.
        ordered = values.sort(0).values
        found = torch.stack([ordered[number] for number in numbers])
    return tuple((low + high) / 2 for low, high in found.view(len(shares), 2, -1))


def inlier_probability(
    residual: Array,
    measured: Array,
    least: Array | float = 0.0,
    relative: Array | float = 1.0,
) -> Array:
    """Probability (N,) that a row of the tracks is not a mismatch, of arrays (N, components).

    See `Mixture`; standard deviations are at least `least`, times that of each row `relative` to
    its component.
    """
    ratio = np.broadcast_to(relative, residual.shape)
    rows = [torch.tensor(np.asarray(values, float)) for values in (residual, measured, ratio)]
    return np.asarray(fit(*rows, least=torch.as_tensor(least)).probability(*rows))


def chi_squared(predicted: Array, measured: Array, noise: Array) -> list[tuple[float, float]]:
    """Mean squared residual over the squared noise, and its standard error; 1 at the noise.

    For each component (N, components) with noise of the standard deviation (components,), or of
    one for every row (N, components),
    sum p (measured - predicted)^2 / (noise^2 sum p), where p is the probability that a row
    matches. The standard error is that of Gaussian residuals.
    """
    residual = measured - predicted
    own = np.broadcast_to(noise, residual.shape)
    probability = inlier_probability(residual, measured, relative=own / np.median(own, axis=0))
    rows = max(float(probability.sum()), np.finfo(np.float64).tiny)
    found = probability @ (residual / noise) ** 2 / rows
    deviation = found * np.sqrt(2 / rows)
    return list(zip(found.tolist(), deviation.tolist(), strict=True))
