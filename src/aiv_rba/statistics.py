"""What measured and inferred velocities say about each other."""

from __future__ import annotations

import numpy as np

from aiv_rba.files.formats import Array

# Share of mismatched rows: at first, and at most.
FIRST_SHARE, LARGEST_SHARE = 0.05, 0.3


def relative_l2(predicted: Array, exact: Array) -> float:
    """Relative L2 error; Eq. 27."""
    return float(np.linalg.norm(predicted - exact) / np.linalg.norm(exact))


def robust_deviation(residual: Array) -> Array:
    """Standard deviation of each column of (N, ...) of zero mean, whatever its outliers.

    1.4826 times the median absolute value, which is right for Gaussian ones.
    """
    return np.asarray(1.4826 * np.median(np.abs(residual), axis=0))


def matched_deviation(residual: Array, least: Array | float = 0.0) -> Array:
    """Standard deviation of each component of residuals (N, components) of matched rows.

    At least `least`; and where most rows are met exactly the others still have a finite distance.
    """
    rounding = np.maximum(1e-9 * np.abs(residual).max(axis=0), np.finfo(np.float64).tiny)
    return np.asarray(np.maximum(robust_deviation(residual), np.maximum(least, rounding)))


def inlier_probability(
    residual: Array,
    measured: Array,
    least: Array | float = 0.0,
    relative: Array | float = 1.0,
) -> Array:
    """Probability (N,) that a row of the tracks is not a mismatch.

    A mixture of two kinds of rows: residuals (N, components) of matched ones are Gaussian, with a
    standard deviation from the median absolute residual, at least `least`, times that of each row
    `relative` (N, components) to it; a mismatched row has
    the velocity of any other track, so its measured velocity (N, components) has the Gaussian
    distribution of all of them. The share of mismatches is found by a few steps of expectation
    maximisation (Hogg, Bovy & Lang 2010, section 3). Unlike weights that fall slowly with the
    residual, these hardly shrink the flow towards the mean of the mismatches.
    """
    spread = matched_deviation(residual / relative, least) * relative
    centre, width = measured.mean(axis=0), np.maximum(measured.std(axis=0), spread)
    matched = np.sum(-((residual / spread) ** 2) / 2 - np.log(spread), axis=1)
    mismatched = np.sum(-(((measured - centre) / width) ** 2) / 2 - np.log(width), axis=1)
    odds = np.exp(np.clip(mismatched - matched, -100, 100))
    share = FIRST_SHARE
    for _ in range(5):
        probability = 1 / (1 + odds * share / (1 - share))
        share = min(max(1 - float(probability.mean()), 1e-6), LARGEST_SHARE)
    return np.asarray(1 / (1 + odds * share / (1 - share)))


def amplitude_bias(predicted: Array, measured: Array) -> list[tuple[float, float]]:
    """By how much the measured flow exceeds the predicted one, and its standard error.

    For each component (N, components), sum(measured predicted) / sum(predicted^2) - 1, with rows
    weighted by the probability that they match. Equations that the network cannot meet
    shrink the flow; errors on held-out rows hardly show that, this does.
    """
    residual = measured - predicted
    probability = inlier_probability(residual, measured)
    squares = np.maximum(probability @ predicted**2, np.finfo(np.float64).tiny)
    bias = probability @ (measured * predicted) / squares - 1
    deviation = robust_deviation(residual) / np.sqrt(squares)
    return list(zip(bias.tolist(), deviation.tolist(), strict=True))


def chi_squared(predicted: Array, measured: Array, noise: Array) -> list[tuple[float, float]]:
    """Mean squared residual over the squared noise, and its standard error; 1 at the noise.

    For each component (N, components) with noise of the standard deviation (components,), or of
    one for every row (N, components),
    sum p (measured - predicted)^2 / (noise^2 sum p), where p is the probability that a row
    matches. The standard error is that of Gaussian residuals.
    """
    residual = measured - predicted
    probability = inlier_probability(residual, measured)
    rows = max(float(probability.sum()), np.finfo(np.float64).tiny)
    found = probability @ (residual / noise) ** 2 / rows
    deviation = found * np.sqrt(2 / rows)
    return list(zip(found.tolist(), deviation.tolist(), strict=True))
