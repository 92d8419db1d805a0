"""Constrained radial basis functions of SPICY (Sperotto, Pieris & Mendez 2022), as far as they go.

The library takes one instant and all components at every point. The tracks have many instants and
mostly two components, so each interval of the period is taken for an instant, and a component that
is not measured is zero at the tracks with a small weight, so that mass finds it. Velocity vanishes
and is free of divergence at points of the wall, and a penalty asks for the latter at the tracks.
Pressure solves the library's Poisson equation, whose Neumann condition on the wall and in the
openings is the momentum equation.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import apart
from aiv_rba.harmonics import fourier, modes_of
from aiv_rba.mixture import inlier_probability
from studies.rivals.flow import ComplexArray, HarmonicFlow
from studies.rivals.lumen import inside_points, wall_points
from studies.rivals.tracks import Rows, best, training_rows

KNOWS = "wall, period, viscosity, density"
# Intervals of the period for each harmonic, and fewest.
INTERVALS, FEWEST = 3, 6
# Distance of the points on wall and openings, and least and largest radius of a basis function, in
# hydraulic radii; points and functions of the Poisson equation.
SPACING, RADII = 0.7, [0.2, 4.0]
POISSON, PRESSURES = 1500, 250
# As the fields of `Basis` of these names, for the pressure.
OVERLAP, CONDITION = 0.95, 1e12
# Weight of a row of zero velocity of a component that is not measured.
UNSEEN = 0.01


@dataclass(frozen=True)
class Basis:
    """What the held-out tracks choose.

    Attributes
    ----------
    functions
        About so many functions, beside those on the wall.
    overlap
        Value of a function at its nearest neighbour, `eps_l` of the library.
    divergence
        Weight of the divergence, `alpha_div` of the library.
    condition
        Condition number to which the system is damped, `K_cond` of the library.
    """

    functions: int = 400
    overlap: float = 0.95
    divergence: float = 1.0
    condition: float = 1e9


CANDIDATES = [Basis(*values) for values in product((200, 400), (0.9, 0.95), (1.0,), (1e8, 1e10))]


def spicy() -> Any:
    """The class of the library."""
    try:
        from spicy_vki.spicy import Spicy
    except ImportError:
        raise UserError(
            "spicy: spicy_vki not found, expected pip install 'aiv-rba[study]'"
        ) from None
    return Spicy


class SpicyFlow(HarmonicFlow):
    """Velocity and pressure as sums of the library's functions.

    Parameters
    ----------
    period
        Period, nondimensional.
    velocity, pressure
        The library's systems, which hold the functions.
    weights, pressures
        (K, 3 M) and (K, P): weights of harmonics.
    """

    def __init__(
        self,
        period: float,
        velocity: Any,
        weights: ComplexArray,
        pressure: Any = None,
        pressures: ComplexArray | None = None,
    ) -> None:
        super().__init__(period)
        self.systems = velocity, pressure
        self.weights, self.pressures = weights, pressures

    def modes(self, positions: Array) -> ComplexArray:
        """Modes (K, 4, N, 4), as `HarmonicFlow.modes`; without a pressure that is zero."""
        velocity, pressure = self.systems
        modes = np.zeros((len(self.weights), 4, len(positions), 4), dtype=complex)
        for k, weights in enumerate(self.weights):
            modes[k, :, :, :3] = _jet(velocity, weights, positions)
            if self.pressures is not None:
                modes[k, :, :, 3:] = _jet(pressure, self.pressures[k], positions)
        return modes


def _jet(system: Any, weights: ComplexArray, positions: Array) -> ComplexArray:
    """Values, d/dx, d/dy, d/dz (4, N, fields) of what a system gives with weights."""
    points = list(positions.T.copy())
    parts = []
    for part in (weights.real, weights.imag):
        system.weights, system.w_list = part, [part]
        values = np.atleast_2d(system.get_sol(points))
        slopes = np.reshape(system.get_sol(points, order=1), (len(values), 3, -1))
        parts.append(np.concatenate([values[:, None], slopes], axis=1).transpose(1, 2, 0))
    return np.asarray(parts[0] + 1j * parts[1])


def fit(case: Case, basis: Basis | None = None) -> SpicyFlow:
    """Fit the tracks, with the functions that the held-out ones ask for unless given; pressure."""
    if basis is None:
        basis = best(case, CANDIDATES, lambda candidate: _velocity(case, candidate))
    return _with_pressure(case, _velocity(case, basis))


def _velocity(case: Case, basis: Basis) -> SpicyFlow:
    """Fit all rows, and again those that are no mismatches."""
    rows = training_rows(case)
    matched = np.ones(len(rows.times), dtype=bool)
    for _ in range(2):
        flow = _fit_rows(case, basis, rows, matched)
        found = flow.velocity(rows.positions, rows.times)[:, rows.components]
        matched = inlier_probability(rows.measured - found, rows.measured) > 0.5
    return flow


def _fit_rows(case: Case, basis: Basis, rows: Rows, chosen: Any) -> SpicyFlow:
    count = max(FEWEST, INTERVALS * case.harmonics) if case.harmonics else 1
    period = case.scales.nondimensional_period
    interval = np.floor(rows.times / period * count).astype(int) % count
    placed = _system(rows, np.ones(len(rows.times), dtype=bool))
    placed.collocation([len(rows.times) / basis.functions], r_mM=_radii(case), eps_l=basis.overlap)
    on_wall = list(wall_points(case, SPACING * case.radius).T.copy())
    zeros = [np.zeros(len(on_wall[0]))] * 3
    weights = []
    for number in range(count):
        system = _system(rows, chosen & (interval == number))
        for name in ("X_C", "Y_C", "Z_C", "c_k", "d_k", "r_mM", "eps_l"):
            setattr(system, name, getattr(placed, name))
        system.vector_constraints(DIR=[*on_wall, *zeros], DIV=on_wall)
        _assemble(system, rows.components, basis.divergence)
        system.Solve(K_cond=basis.condition)
        weights.append(system.weights)
    # The mean over an interval is that of its middle, but for the sinc of each harmonic.
    harmonics = np.arange(case.harmonics + 1)
    modes = modes_of(np.array(weights))[: len(harmonics)]
    modes *= (np.exp(-1j * np.pi * harmonics / count) / np.sinc(harmonics / count))[:, None]
    return SpicyFlow(period, system, modes)


def _system(rows: Rows, chosen: Any) -> Any:
    """The library's system of some rows, with zero for what is not measured."""
    data = [np.zeros(int(chosen.sum())) for _ in range(3)]
    for component, measured in zip(rows.components, rows.measured[chosen].T, strict=True):
        data[component] = measured.copy()
    points = list(rows.positions[chosen].T.copy())
    return spicy()(data, points, basis="gauss", model="laminar", verbose=0)


def _assemble(system: Any, measured: list[int], divergence: float) -> None:
    """Assemble, with a small weight of the zeros of components that are not measured."""
    system.Assembly_Regression()
    of_data = system.A
    system.Assembly_Regression(alpha_div=divergence)
    for component in {0, 1, 2} - set(measured):
        where = slice(component * system.n_b, (component + 1) * system.n_b)
        system.A[where, where] -= (1 - UNSEEN) * of_data[where, where]


def _with_pressure(case: Case, flow: SpicyFlow) -> SpicyFlow:
    """Add the pressure of a velocity: a Poisson equation at each of some times."""
    inside = inside_points(case, POISSON)
    places, normals = _boundary(case)
    velocity, scales = flow.systems[0], case.scales
    samples = 4 * case.harmonics + 1
    omega = 2j * np.pi / flow.period * np.arange(len(flow.weights))
    sources, slopes = [], []
    for phase in np.arange(samples) / samples:
        # The rate of change first: the weights that are set last are those of the velocity.
        rate = _values(velocity, fourier(omega[:, None] * flow.weights, phase), places)
        weights = fourier(flow.weights, phase)
        velocity.weights, velocity.w_list = weights, [weights]
        at_boundary, facing = list(places.T.copy()), list(normals.T.copy())
        slope = velocity.get_pressure_neumann(at_boundary, facing, scales.inertia, scales.diffusion)
        slopes.append(slope - scales.inertia * np.sum(rate * normals, axis=1))
        sources.append(velocity.get_source_term(list(inside.T.copy()), scales.inertia))
    pressure = spicy()(sources, list(inside.T.copy()), model="scalar", verbose=0)
    pressure.collocation([POISSON / PRESSURES], r_mM=_radii(case), eps_l=OVERLAP)
    gauge = [*inside[:1].T.copy(), *[np.zeros(1)] * samples]
    pressure.scalar_constraints(
        DIR=gauge, NEU=[*places.T.copy(), *normals.T.copy(), *slopes], extra_RBF=True
    )
    pressure.Assembly_Poisson()
    pressure.Solve(K_cond=CONDITION)
    found = modes_of(np.array(pressure.w_list))[: len(flow.weights)]
    pressure.n_q = 1
    return SpicyFlow(flow.period, velocity, flow.weights, pressure, found)


def _values(system: Any, weights: Array, positions: Array) -> Array:
    system.weights, system.w_list = weights, [weights]
    return np.stack(system.get_sol(list(positions.T.copy())), axis=1)


def _boundary(case: Case) -> tuple[Array, Array]:
    """Points (N, 3) of wall and openings, and unit normals out of the lumen."""
    points, normals = [case.wall.points], [case.wall.normals]
    for opening in case.openings:
        centres = opening.points[opening.triangles].mean(axis=1)
        points.append(centres)
        normals.append(np.tile(opening.normal, (len(centres), 1)))
    at, facing = np.concatenate(points), np.concatenate(normals)
    chosen = apart(at, SPACING * case.radius)
    return at[chosen], facing[chosen]


def _radii(case: Case) -> list[float]:
    return [radius * case.radius for radius in RADII]
