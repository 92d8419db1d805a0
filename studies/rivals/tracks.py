"""Rows of the tracks as the rivals fit them, and how well a flow meets those held out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.mixture import chi_squared, inlier_probability
from studies.rivals.flow import HarmonicFlow

Settings = TypeVar("Settings")

# Fits, each weighted by what the one before says of mismatched rows.
FITS = 3


@dataclass(frozen=True)
class Rows:
    """Measured velocities, nondimensional.

    Attributes
    ----------
    positions, times
        (N, 3), (N,).
    components
        Which of u, v, w are measured, as 0, 1, 2; C of them.
    measured, noise
        (N, C) velocities and standard deviations of their noise.
    waves
        (K, N): exp(2 pi i k t / T) for k = 0, 1, ...
    """

    positions: Array
    times: Array
    components: list[int]
    measured: Array
    noise: Array
    waves: NDArray[np.complex128]


def training_rows(case: Case) -> Rows:
    """The rows that are fitted."""
    return _rows(case, ~case.tracks.validation)


def held_out_rows(case: Case) -> Rows:
    """The rows by which settings are chosen."""
    return _rows(case, case.tracks.validation)


def _rows(case: Case, chosen: NDArray[np.bool_]) -> Rows:
    if case.flow == "unsteady":
        raise UserError("rivals: found an unsteady flow, expected a periodic or a steady one")
    tracks = case.tracks.rows(chosen)
    noise = np.array([case.noise[name] for name in tracks.velocity])
    times = tracks.points[:, 0]
    phase = 2j * np.pi * times / case.scales.nondimensional_period
    return Rows(
        tracks.points[:, 1:],
        times,
        ["uvw".index(name) for name in tracks.velocity],
        np.stack(list(tracks.velocity.values()), axis=1),
        noise * case.relative_noise[chosen],
        np.exp(np.outer(np.arange(case.harmonics + 1), phase)),
    )


def robust(rows: Rows, solve: Callable[[Array], Array]) -> Array:
    """Solve again and again with the probabilities that rows are no mismatches.

    Parameters
    ----------
    rows
        The rows that are fitted.
    solve
        Fits them with weights (N, C) and returns the fitted velocities (N, C).

    Returns
    -------
    Array
        The last weights.
    """
    weights, least = 1 / rows.noise**2, rows.noise.min(axis=0)
    for _ in range(FITS - 1):
        residual = rows.measured - solve(weights)
        matched = inlier_probability(residual, rows.measured, least, rows.noise / least)
        weights = matched[:, None] / rows.noise**2
    solve(weights)
    return weights


def misfit(flow: HarmonicFlow, rows: Rows) -> float:
    """Mean squared residual of matched rows over their squared noise; one at the noise."""
    found = flow.velocity(rows.positions, rows.times)[:, rows.components]
    return float(np.mean([value for value, _ in chi_squared(found, rows.measured, rows.noise)]))


def best(
    case: Case, candidates: Iterable[Settings], fit: Callable[[Settings], HarmonicFlow]
) -> Settings:
    """The settings whose flow meets the held-out rows best."""
    rows = held_out_rows(case)
    return min(candidates, key=lambda settings: misfit(fit(settings), rows))
