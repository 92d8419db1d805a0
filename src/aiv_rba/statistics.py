"""Errors, and robust estimates of noise."""

from __future__ import annotations

import numpy as np

from aiv_rba.files.formats import Array


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
