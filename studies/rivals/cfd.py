"""Computational fluid dynamics in the given wall, with the flow rate that fits the tracks.

The solver of the twins steps the Navier-Stokes equations to a periodic state in the given wall. At
small Reynolds number the flow is linear in the harmonics of the flow rate: one run in which all
harmonics are alike and small gives the flow of each, and the tracks their factors. Runs at the
fitted flow rate follow, and what the tracks still miss corrects it.
"""

from __future__ import annotations

import math

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.harmonics import fourier
from aiv_rba.terminal import say
from aiv_rba.twin.mesh import Discretisation
from aiv_rba.twin.sampling import flow_at
from aiv_rba.twin.solver import Solution, solve
from studies.rivals.duct import GivenDuct
from studies.rivals.flow import ComplexArray, HarmonicFlow
from studies.rivals.tracks import Rows, robust, training_rows

KNOWS = "wall, period, viscosity, density, how the flow enters"
# Elements along a side of the inner square, rings round it, and length of one, hydraulic radii.
SECTION, RINGS, ALONG = 4, 2, 0.8
# Longest time step, in the time in which the velocity scale goes through the hydraulic radius;
# fewest steps of the fastest wave.
STEP, PER_WAVE = 0.03, 30
# A transient is damped by exp(-FASTEST) in the viscous time of the hydraulic radius, at least, and
# runs go on until exp(-DAMPED) of it is left.
FASTEST, DAMPED = 6.6, 10
# Flow rate of the linear run, nondimensional.
SMALL = 1e-6
# Correction of the flow rate, over the flow rate, after which no run follows, and most runs.
SETTLED, RUNS = 2e-3, 4


class CfdFlow(HarmonicFlow):
    """A solution in the coordinates and scales of the case; pressure gradients are left out."""

    def __init__(self, case: Case, duct: GivenDuct, solution: Solution, period: float) -> None:
        super().__init__(period)
        self.duct, self.solution = duct, solution
        scales = case.scales
        # The solver measures pressure in rho U^2.
        self._pressure = scales.density * scales.velocity**2 / scales.pressure

    def modes(self, positions: Array) -> ComplexArray:
        """Modes (K, 4, N, 4), as `HarmonicFlow.modes`; not a number for pressure gradients."""
        axes = self.duct.axes
        velocity, pressure, gradient = flow_at(
            self.duct, self.solution, self.duct.to_solver(positions)
        )
        modes = np.full((len(velocity), 4, len(positions), 4), np.nan, dtype=complex)
        modes[:, 0, :, :3] = axes.vectors(velocity)
        modes[:, 0, :, 3] = self._pressure * pressure
        modes[:, 1:, :, :3] = np.moveaxis(axes.gradients(gradient), 3, 1)
        return modes


class Runs:
    """Runs of the solver in the wall of a case."""

    def __init__(self, case: Case) -> None:
        scales = case.scales
        self.case, self.duct = case, GivenDuct(case)
        viscous = scales.reynolds * case.radius**2
        # A steady flow has no period of its own.
        self.period = viscous if case.flow == "steady" else scales.nondimensional_period
        shortest = max(PER_WAVE * case.harmonics, self.period / (STEP * case.radius))
        length = self.duct.span[1] - self.duct.span[0]
        self.discretisation = Discretisation(
            section=SECTION,
            rings=RINGS,
            axial=math.ceil(length / (ALONG * case.radius)),
            steps=max(80, math.ceil(shortest)),
            cycles=1 + math.ceil(DAMPED * viscous / (FASTEST * self.period)),
            modes=2 * case.harmonics,
        )

    def __call__(self, rates: ComplexArray) -> CfdFlow:
        """The flow at the modes (K,) of a flow rate, nondimensional."""
        solution = solve(
            self.duct,
            lambda time: float(fourier(rates, time / self.period)),
            reynolds=self.case.scales.reynolds,
            period=self.period,
            span=self.duct.span,
            discretisation=self.discretisation,
            progress=say,
        )
        return CfdFlow(self.case, self.duct, solution, self.period)


def fit(case: Case) -> CfdFlow:
    """Solve for the flow whose flow rate fits the tracks."""
    rows, run = training_rows(case), Runs(case)
    count = case.harmonics + 1
    small = run(np.full(count, SMALL, dtype=complex))
    units = small.modes(rows.positions)[:count, 0][..., rows.components] / SMALL
    rates = _factors(rows, units, np.zeros_like(rows.measured))
    for _ in range(RUNS):
        flow = run(rates)
        found = flow.velocity(rows.positions, rows.times)[:, rows.components]
        correction = _factors(rows, units, found)
        rates = rates + correction
        if np.linalg.norm(correction) < SETTLED * np.linalg.norm(rates):
            break
    return flow


def _factors(rows: Rows, units: ComplexArray, known: Array) -> ComplexArray:
    """Factors (K,) of units (K, N, C) that fit what measured velocities exceed known ones by."""
    waves = rows.waves[:, :, None] * units
    # Re(c z) = Re c Re z - Im c Im z; the mean has no imaginary part.
    design = np.concatenate([waves.real, -waves.imag[1:]])
    factors = np.zeros(len(design))

    def solve_for(weights: Array) -> Array:
        weighted = design * weights
        normal = np.einsum("anc,bnc->ab", weighted, design, optimize=True)
        right = np.einsum("anc,nc->a", weighted, rows.measured - known)
        factors[:] = np.linalg.solve(normal, right)
        found: Array = known + np.einsum("anc,a->nc", design, factors)
        return found

    robust(rows, solve_for)
    count = len(units)
    return factors[:count] + 1j * np.concatenate([[0.0], factors[count:]])
