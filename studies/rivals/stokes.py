"""Linear least squares for tracks and unsteady Stokes equations together, with random features.

Velocity is the wall function times a sum of waves with random wave vectors, pressure is such a sum,
and their factors are found harmonic by harmonic from the tracks, weighted by their noise, and from
momentum and mass at points of the lumen, weighted by a tolerance. Inertia is added by repeating
the fit with the convection of the flow before.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product as combinations

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.harmonics import modes_of
from studies.rivals.flow import ComplexArray, HarmonicFlow, product
from studies.rivals.least_squares import HarmonicFit, share
from studies.rivals.lumen import inside_points
from studies.rivals.tracks import best, robust, training_rows

KNOWS = "wall, period, viscosity, density"
# Waves for each field, and points at which the equations are asked for.
FEATURES, POINTS = 400, 2000
# Tolerance of mass, in that of momentum.
MASS = 0.07
# Damping of the factors, in the mean diagonal of the normal matrix.
DAMPING = 1e-10
# Repeated fits with convection end when the flow changes by less than this, or after so many.
SETTLED, REPEATS = 1e-3, 8


@dataclass(frozen=True)
class Weights:
    """What the held-out tracks choose.

    Attributes
    ----------
    length
        Length over which a wave goes through one radian, root mean square, in hydraulic radii.
    tolerance
        Of the momentum equation, in units of the viscous force of a flow at the velocity scale.
    """

    length: float = 1.5
    tolerance: float = 0.05


CANDIDATES = [Weights(*values) for values in combinations((1.0, 1.5), (0.3, 0.1, 0.03))]


class RandomWaves:
    """Waves cos(a . x + b) and their derivatives; the first four are 1, x, y, z.

    Parameters
    ----------
    count
        Number of functions.
    length
        Standard deviations of the components of a are its inverse.
    """

    def __init__(self, count: int, length: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.slopes = rng.normal(scale=1 / length, size=(3, count - 4))
        self.shifts = rng.uniform(0, 2 * np.pi, count - 4)

    def __call__(self, positions: Array) -> Array:
        """Values, d/dx, d/dy, d/dz and Laplacian (5, N, M) at positions (N, 3)."""
        phase = positions @ self.slopes + self.shifts
        cosine, sine = np.cos(phase), np.sin(phase)
        waves = np.stack(
            [
                cosine,
                *(-slope * sine for slope in self.slopes),
                -np.sum(self.slopes**2, axis=0) * cosine,
            ]
        )
        plain = np.zeros((5, len(positions), 4))
        plain[0] = np.column_stack([np.ones(len(positions)), positions])
        plain[1:4, :, 1:] = np.eye(3)[:, None, :]
        return np.concatenate([plain, waves], axis=2)


class Basis:
    """Functions of the velocity, which vanish on the wall, and of the pressure."""

    def __init__(self, case: Case, length: float) -> None:
        self.waves = RandomWaves(FEATURES, length * case.radius)
        self.wall = case.wall_function

    def velocity(self, positions: Array) -> Array:
        """Jets (5, N, M), as `RandomWaves` gives them, of the wall function times the waves."""
        psi = self.waves(positions)
        unit = self.wall.unit
        phi = self.wall(positions)[:, None] / unit
        slope = self.wall.gradient(positions).T[:, :, None] / unit
        out = phi * psi
        out[1:4] += slope * psi[0]
        # The Laplacian of the wall function is minus one.
        out[4] += 2 * np.sum(slope * psi[1:4], axis=0) - psi[0] / unit
        return out

    def pressure(self, positions: Array) -> Array:
        """Jets (5, N, M) of the waves."""
        return self.waves(positions)


class StokesFlow(HarmonicFlow):
    """Sums of such functions with factors (K, 4, M) for u, v, w and p."""

    def __init__(self, period: float, basis: Basis, factors: ComplexArray) -> None:
        super().__init__(period)
        self.basis, self.factors = basis, factors

    def modes(self, positions: Array) -> ComplexArray:
        """Modes (K, 4, N, 4), as `HarmonicFlow.modes`."""
        velocity, pressure = self.basis.velocity(positions), self.basis.pressure(positions)
        fields = [velocity] * 3 + [pressure]
        parts = [np.moveaxis(jet[:4] @ self.factors[:, f].T, -1, 0) for f, jet in enumerate(fields)]
        return np.stack(parts, axis=-1)


class Equations:
    """Normal matrices of momentum and mass at points of the lumen.

    Parameters
    ----------
    case
        The case, in whose scales the equations are.
    basis
        Its functions.
    tolerance
        See `Weights`.
    """

    def __init__(self, case: Case, basis: Basis, tolerance: float) -> None:
        scales, self.points = case.scales, inside_points(case, POINTS)
        self.omega = 2 * np.pi / scales.nondimensional_period
        self.inertia, self.diffusion = scales.inertia, scales.diffusion
        value, *self.slopes, laplacian = basis.velocity(self.points)
        self.value, self.viscous = value, self.diffusion * laplacian
        _, *self.push, _ = basis.pressure(self.points)
        self.momentum = 1 / (tolerance * self.diffusion / case.radius**2) ** 2
        self.mass = 1 / (MASS * tolerance / case.radius) ** 2
        self._grams()

    def _grams(self) -> None:
        value, viscous, slopes, push = self.value, self.viscous, self.slopes, self.push
        self.of_value, self.of_viscous = value.T @ value, viscous.T @ viscous
        self.mixed = value.T @ viscous
        self.of_push = sum(part.T @ part for part in push)
        self.value_push = [value.T @ part for part in push]
        self.viscous_push = [viscous.T @ part for part in push]
        self.divergence = [[a.T @ b for b in slopes] for a in slopes]

    def normal(self, harmonic: int) -> ComplexArray:
        """Normal matrix (4 M, 4 M) of one harmonic, whose momentum is i w v - viscous + push."""
        rate = self.inertia * self.omega * harmonic
        count = len(self.of_value)
        out = np.zeros((4, count, 4, count), dtype=complex)
        block = rate**2 * self.of_value + self.of_viscous
        block = block + 1j * rate * (self.mixed - self.mixed.T)
        for i in range(3):
            out[i, :, i] = self.momentum * block
            out[i, :, 3] = self.momentum * (-1j * rate * self.value_push[i] - self.viscous_push[i])
            out[3, :, i] = out[i, :, 3].conj().T
            for j in range(3):
                out[i, :, j] += self.mass * self.divergence[i][j]
        out[3, :, 3] = self.momentum * self.of_push
        matrix = np.asarray(share(harmonic) * out.reshape(4 * count, 4 * count), dtype=complex)
        matrix += DAMPING * np.trace(matrix).real / len(matrix) * np.eye(len(matrix))
        return matrix

    def right(self, harmonic: int, force: ComplexArray) -> ComplexArray:
        """Right side (4 M,) for a force (N, 3) in the momentum equation of one harmonic."""
        rate = self.inertia * self.omega * harmonic
        momentum = -1j * rate * product(self.value.T, force) - product(self.viscous.T, force)
        mean = np.sum([product(a.T, force[:, [i]]) for i, a in enumerate(self.push)], axis=0)
        parts = np.concatenate([*momentum.T, mean[:, 0]])
        return np.asarray(share(harmonic) * self.momentum * parts, dtype=complex)

    def convection(self, flow: HarmonicFlow, harmonics: int) -> ComplexArray:
        """Modes (K, N, 3) of minus the inertia of the convection (v . grad) v."""
        samples = 4 * harmonics + 1
        forces = []
        for share_of_period in np.arange(samples) / samples:
            jet = flow.at(self.points, share_of_period * flow.period)
            forces.append(-self.inertia * np.einsum("jni,nj->ni", jet[2:, :, :3], jet[0, :, :3]))
        return modes_of(np.array(forces))[: harmonics + 1]


def fit(case: Case, weights: Weights | None = None) -> StokesFlow:
    """Fit tracks and equations, with the weights that held-out tracks ask for unless given."""
    if weights is None:
        weights = best(case, CANDIDATES, lambda candidate: _fit(case, candidate, repeats=0))
    return _fit(case, weights, REPEATS)


def _fit(case: Case, weights: Weights, repeats: int) -> StokesFlow:
    rows, basis = training_rows(case), Basis(case, weights.length)
    equations = Equations(case, basis, weights.tolerance)
    harmonics, count = range(case.harmonics + 1), FEATURES
    problem = HarmonicFit(
        rows,
        [basis.velocity(rows.positions)[0]] * len(rows.components),
        [slice(i * count, (i + 1) * count) for i in rows.components],
        [equations.normal(k) for k in harmonics],
        np.zeros((len(harmonics), 4 * count), dtype=complex),
    )

    def flow() -> StokesFlow:
        factors = problem.coefficients.reshape(len(harmonics), 4, count)
        return StokesFlow(case.scales.nondimensional_period, basis, factors)

    weight = robust(rows, problem.solve)
    fitted = problem.fitted(problem.coefficients)
    for _ in range(repeats):
        force = equations.convection(flow(), case.harmonics)
        problem.right = np.array([equations.right(k, part) for k, part in enumerate(force)])
        before, fitted = fitted, problem.solve(weight)
        if np.linalg.norm(fitted - before) < SETTLED * np.linalg.norm(fitted):
            break
    return flow()
