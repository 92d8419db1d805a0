"""How probable it is that a row of the tracks is false, from the inferred flow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.formats import Array
from aiv_rba.mixture import inlier_probability
from aiv_rba.statistics import matched_deviation

STEPS = 10


def false_rows(
    residual: Array, measured: Array, aside: Array, noise: Array, track: NDArray[np.int64]
) -> Array:
    """Probabilities (N,) from the weights of the training, after the depth of each track is found.

    `inlier_probability` gives the robust weights of the training. A particle is seen anywhere in
    the light sheet, so that its true velocity differs from the mean over the sheet. Near a wall
    this is several times the noise, all along a track, and would look like a mismatch. Every track
    therefore has one depth, a Gaussian variable with the standard deviation that the training
    found. Depths and weights follow from each other in `STEPS` steps of expectation maximisation
    (Dempster, Laird & Rubin 1977, https://doi.org/10.1111/j.2517-6161.1977.tb01600.x).

    Parameters
    ----------
    residual, measured
        (N, components): measured less inferred velocity; measured velocity.
    aside
        (N, components): how much the inferred velocity changes over one standard deviation of the
        depths; zero where the depth is measured, or the light sheet is thin.
    noise
        (components,): standard deviation of the noise; residuals that are smaller are no sign of
        a mismatch.
    track
        (N,): number of the track, from 0, without gaps.
    """
    corrected = residual
    for _ in range(STEPS):
        weight = inlier_probability(corrected, measured, noise)[:, None]
        deviation = matched_deviation(corrected, noise)
        relative = aside / deviation
        known = np.bincount(track, np.sum(weight * relative**2, axis=1)) + 1
        drawn = np.bincount(track, np.sum(weight * relative * residual / deviation, axis=1))
        depth = drawn / known
        corrected = residual - depth[track, None] * aside
    return 1 - inlier_probability(corrected, measured, noise)
