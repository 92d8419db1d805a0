"""Gaussian radial basis functions through the tracks, without equations.

A regularised least-squares fit of each measured component: the weights of Gaussians round centres
in the lumen and on its wall, damped by the norm of their space, with rows of zero velocity on the
wall. What no camera sees is zero, and there is no pressure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.spatial.distance import cdist

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from studies.rivals.flow import ComplexArray, HarmonicFlow
from studies.rivals.least_squares import HarmonicFit, share
from studies.rivals.lumen import inside_points, wall_points
from studies.rivals.tracks import best, robust, training_rows

KNOWS = "wall, period"
# Distance of centres and rows on the wall, in hydraulic radii; centres in the lumen.
SPACING, CENTRES = 0.7, 600
# Standard deviation of the velocity on the wall, in that of the noise.
WALL = 0.1
# Smallest eigenvalue of the kernel, in the largest.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Smoothness:
    """What the held-out tracks choose.

    Attributes
    ----------
    length
        Length of the Gaussians across the vessel, in hydraulic radii.
    stretch
        How many times longer they are along it.
    amplitude
        Standard deviation that the velocity is expected to have, in that of its component.
    """

    length: float = 2.0
    stretch: float = 2.0
    amplitude: float = 1.0


CANDIDATES = [Smoothness(*values) for values in product((1.0, 1.5), (1, 2), (3, 30))]


class Interpolation(HarmonicFlow):
    """Sums of Gaussians.

    Parameters
    ----------
    period
        Period, nondimensional.
    centres
        (M, 3).
    lengths
        (3,) length of the Gaussians along x, y, z.
    weights
        (K, 4, M) of the Gaussians for u, v, w and p.
    """

    def __init__(
        self, period: float, centres: Array, lengths: Array, weights: ComplexArray
    ) -> None:
        super().__init__(period)
        self.centres, self.lengths, self.weights = centres, lengths, weights

    def modes(self, positions: Array) -> ComplexArray:
        """Modes (K, 4, N, 4), as `HarmonicFlow.modes`."""
        values = gaussians(positions, self.centres, self.lengths)
        slopes = [
            -(positions[:, i, None] - self.centres[:, i]) / self.lengths[i] ** 2 * values
            for i in range(3)
        ]
        jets = np.stack([values, *slopes])
        found: ComplexArray = np.einsum("dnm,kfm->kdnf", jets, self.weights, optimize=True)
        return found


def gaussians(positions: Array, centres: Array, lengths: Array) -> Array:
    """Values (N, M) at positions (N, 3)."""
    return np.exp(-0.5 * cdist(positions / lengths, centres / lengths, "sqeuclidean"))


def fit(case: Case, smoothness: Smoothness | None = None) -> Interpolation:
    """Fit the tracks, with the smoothness that the held-out ones ask for unless one is given."""
    if smoothness is None:
        smoothness = best(case, CANDIDATES, lambda candidate: fit(case, candidate))
    rows = training_rows(case)
    on_wall = wall_points(case, SPACING * case.radius)
    centres = np.concatenate([inside_points(case, CENTRES), on_wall])
    lengths = np.full(3, smoothness.length * case.radius)
    lengths[case.axis] *= smoothness.stretch

    white = whitening(gaussians(centres, centres, lengths))
    design = gaussians(rows.positions, centres, lengths) @ white
    no_slip = gaussians(on_wall, centres, lengths) @ white
    count = white.shape[1]
    columns = [slice(j * count, (j + 1) * count) for j in range(len(rows.components))]
    damped = np.zeros((len(columns) * count, len(columns) * count))
    for where, noise, values in zip(columns, rows.noise.T, rows.measured.T, strict=True):
        expected = smoothness.amplitude**2 * np.mean(values**2)
        on_no_slip = np.mean((WALL * noise) ** 2)
        damped[where, where] = np.eye(count) / expected + no_slip.T @ no_slip / on_no_slip
    harmonics = range(case.harmonics + 1)
    problem = HarmonicFit(
        rows,
        [design] * len(columns),
        columns,
        [np.asarray(share(k) * damped, dtype=complex) for k in harmonics],
        np.zeros((len(harmonics), len(damped)), dtype=complex),
    )
    robust(rows, problem.solve)
    weights = np.zeros((len(harmonics), 4, len(centres)), dtype=complex)
    for component, where in zip(rows.components, columns, strict=True):
        weights[:, component] = problem.coefficients[:, where] @ white.T
    return Interpolation(case.scales.nondimensional_period, centres, lengths, weights)


def whitening(kernel: Array) -> Array:
    """(M, R): combinations of functions with this kernel (M, M) that are orthonormal in its space.

    Combinations that are lost in the rounding are left out.
    """
    sizes, vectors = np.linalg.eigh(kernel)
    kept = sizes > ROUNDING * sizes[-1]
    return np.asarray(vectors[:, kept] / np.sqrt(sizes[kept]))
