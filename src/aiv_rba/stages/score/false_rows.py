"""How probable it is that a row of the tracks is false, from the inferred flow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import Array
from aiv_rba.mixture import inlier_probability
from aiv_rba.statistics import matched_deviation

STEPS = 10
# Spread of depths in units of length at first; where it ends does not depend on it.
FIRST_SPREAD = 0.03
# Depths that are met exactly have a finite spread still.
SMALLEST_SPREAD = 1e-7


@dataclass(frozen=True)
class FalseRows:
    """Mismatched rows, each judged by itself.

    Attributes
    ----------
    probability
        (N,): probability that the row is a mismatch.
    depth_spread
        Standard deviation of the depths of the tracks about those that the rows state, in units of
        length.
    """

    probability: Array
    depth_spread: float


def false_rows(
    residual: Array, measured: Array, slope: Array, noise: Array, track: NDArray[np.int64]
) -> FalseRows:
    """Probabilities from the weights of the training, after the depth of each track is corrected.

    `inlier_probability` gives the robust weights of the training. A tracer is seen anywhere in a
    slab about the optical plane, so that its true velocity differs from the flow in the plane. Near
    a wall this is several times the noise, all along a track, and would look like a mismatch.
    Every track therefore has one depth beside the stated one, d. It changes the residuals by
    d times the slope of the velocity in depth, and has a Gaussian distribution of zero mean over
    the tracks. Weights, depths and the standard deviation of the depths follow from each other in
    `STEPS` steps of expectation maximisation (Dempster, Laird & Rubin 1977,
    https://doi.org/10.1111/j.2517-6161.1977.tb01600.x). If the depths are measured, their
    deviation comes out small.

    Parameters
    ----------
    residual, measured
        (N, components): measured less inferred velocity; measured velocity.
    slope
        (N, components): derivative of the inferred velocity in depth.
    noise
        (components,): standard deviation of the noise; residuals that are smaller are no sign of
        a mismatch.
    track
        (N,): number of the track, from 0, without gaps.
    """
    spread = FIRST_SPREAD
    corrected = residual
    for _ in range(STEPS):
        weight = inlier_probability(corrected, measured, noise)[:, None]
        deviation = matched_deviation(corrected, noise)
        relative = slope / deviation
        known = np.bincount(track, np.sum(weight * relative**2, axis=1)) + spread**-2
        drawn = np.bincount(track, np.sum(weight * relative * residual / deviation, axis=1))
        depth = drawn / known
        spread = max(float(np.sqrt(np.mean(depth**2 + 1 / known))), SMALLEST_SPREAD)
        corrected = residual - depth[track, None] * slope
    return FalseRows(1 - inlier_probability(corrected, measured, noise), spread)
