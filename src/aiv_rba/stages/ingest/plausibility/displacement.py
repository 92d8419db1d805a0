"""Velocity columns against the displacement over time along the tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from aiv_rba.files.formats import Array
from aiv_rba.files.warnings import InputWarning
from aiv_rba.stages.ingest.plausibility.evidence import Evidence
from aiv_rba.stages.ingest.plausibility.steps import Steps, take_steps
from aiv_rba.stages.ingest.plausibility.values import unlinked
from aiv_rba.stages.ingest.tracks import TrackTable

# Fewest steps that say anything.
FEWEST = 30
# Standard errors come from so many blocks of successive steps, since those of a track are alike.
BLOCKS = 10
# Standard errors by which a figure must lie beyond its limit.
STANDARD_ERRORS = 4
# Rank correlation with the displacement below which a component says nothing about its own unit.
LEAST_CORRELATION = 0.3
# Slopes that are taken for 1. On the twins they are 0.99 to 1.03.
LOWEST, HIGHEST = 0.8, 1.25
# Factor by which velocities are plainly wrong.
PLAIN = 100
# By how much the rank correlation of exchanged columns must exceed that of the columns as given.
EXCHANGED = 0.2


@dataclass(frozen=True)
class Slope:
    """Bounds of a velocity over the displacement over time, as a factor of it."""

    low: float
    high: float

    @property
    def middle(self) -> float:
        """Geometric mean of the bounds, with their sign."""
        return float(np.sign(self.low) * np.sqrt(self.low * self.high))


def check_displacement(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether velocities are the displacement over time: columns, signs and units."""
    if evidence.config.velocities == "differences":
        return
    steps = linked_steps(evidence.table, evidence.config.period)
    if steps is None:
        return
    swapped = exchanged(steps)
    for pair in swapped:
        first, second = pair
        yield InputWarning(
            "velocity_columns",
            f"{first} follows the displacement along {_axis(second)}, and {second} that along "
            f"{_axis(first)}: check whether the columns {first} and {second} are exchanged",
            fatal=True,
        )
    found = {
        name: slope
        for name, slope in slopes(steps).items()
        if not any(name in pair for pair in swapped)
    }
    turned = [name for name, slope in found.items() if slope.high < 0]
    if turned:
        listed = ", ".join(f"{_rounded(found[name].middle)} times for {name}" for name in turned)
        yield InputWarning(
            "velocity_sign",
            f"{' and '.join(turned)} run against the displacement of the tracks over time "
            f"({listed}): check the signs, and that the rows of each track are in order of time",
            fatal=True,
        )
    sizes = {name: sorted((abs(slope.low), abs(slope.high))) for name, slope in found.items()}
    wrong = [name for name, (low, high) in sizes.items() if high < LOWEST or low > HIGHEST]
    if wrong:
        factors = {name: abs(found[name].middle) for name in wrong}
        listed = " and ".join(f"{name} is {_rounded(f)} times" for name, f in factors.items())
        yield InputWarning(
            "velocity_displacement",
            f"{listed} the displacement of the tracks over time: check ingest.units.velocity, "
            "length and time",
            fatal=any(not 1 / PLAIN < factor < PLAIN for factor in factors.values()),
        )


def linked_steps(table: TrackTable, period: float | None) -> Steps | None:
    """Steps of the rows that belong to tracks, or None if they are too few."""
    steps = take_steps(table.rows(~unlinked(table)), period)
    return None if steps is None or len(steps.displacement) < FEWEST else steps


def slopes(steps: Steps) -> dict[str, Slope]:
    """Slope of each velocity component over its displacement over time, where it can be told.

    Noise of the displacement makes the slope of the velocity over it too small, and noise of the
    velocity makes that of the displacement over the velocity too small, whose inverse is then too
    large: the true one lies between the two (Frisch 1934). Each is widened by its standard errors.
    Positions that are too noisy give bounds that are far apart, and nothing is said.
    """
    found = {}
    for name, velocity in _velocities(steps).items():
        displacement = steps.displacement[:, "uvw".index(name)]
        if abs(_rank_correlation(velocity, displacement)) < LEAST_CORRELATION:
            continue
        direct, direct_error = _with_error(_median_slope, velocity, displacement)
        inverse, inverse_error = _with_error(_median_slope, displacement, velocity)
        ends = [
            direct - STANDARD_ERRORS * direct_error,
            direct + STANDARD_ERRORS * direct_error,
            *(1 / (inverse + sign * STANDARD_ERRORS * inverse_error) for sign in (-1, 1)),
        ]
        if len(set(np.sign(ends))) == 1:
            found[name] = Slope(min(ends), max(ends))
    return found


def exchanged(steps: Steps) -> list[tuple[str, str]]:
    """Pairs of velocity components of which each follows the displacement along the other's axis.

    Measured by rank correlations, which know neither units nor outliers.
    """
    velocities = _velocities(steps)

    def gain(first: Array, second: Array, along_first: Array, along_second: Array) -> float:
        across = _rank_correlation(first, along_second), _rank_correlation(second, along_first)
        along = _rank_correlation(first, along_first), _rank_correlation(second, along_second)
        return sum(map(abs, across)) - sum(map(abs, along))

    found = []
    for first, second in combinations(velocities, 2):
        columns = [steps.displacement[:, "uvw".index(name)] for name in (first, second)]
        value, error = _with_error(gain, velocities[first], velocities[second], *columns)
        if value - STANDARD_ERRORS * error > EXCHANGED:
            found.append((first, second))
    return found


def _velocities(steps: Steps) -> dict[str, Array]:
    """Mean velocity (N,) over each step, of the components whose displacement is known."""
    planar = steps.before.nominal_depth or not np.any(steps.displacement[:, 2])
    return {
        name: (steps.before.velocity[name] + steps.after.velocity[name]) / 2
        for name in steps.before.velocity
        if not (name == "w" and planar)
    }


def _median_slope(values: Array, over: Array) -> float:
    """Slope through the origin that makes the sum of absolute residuals smallest.

    It is the median of the ratios, weighted by the size of what they are over.
    """
    weights = np.abs(over)
    there = weights > 0
    if not there.any():
        return 0.0
    ratio, weights = values[there] / over[there], weights[there]
    order = np.argsort(ratio)
    half = np.cumsum(weights[order])
    return float(ratio[order][np.searchsorted(half, half[-1] / 2)])


def _rank_correlation(first: Array, second: Array) -> float:
    """Spearman's; zero if one of the two is constant."""
    ranks = np.stack([rankdata(first), rankdata(second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.prod(np.sum(centred**2, axis=1)))
    return float(centred[0] @ centred[1] / norm) if norm > 0 else 0.0


def _with_error(figure: Callable[..., float], *columns: NDArray[np.float64]) -> tuple[float, float]:
    """A figure of columns (N,), and its standard error from its scatter over blocks of rows."""
    blocks = zip(*(np.array_split(column, BLOCKS) for column in columns), strict=True)
    scatter = np.std([figure(*block) for block in blocks], ddof=1)
    return figure(*columns), float(scatter / np.sqrt(BLOCKS))


def _rounded(factor: float) -> str:
    """A factor to two digits, such as 1000 and not 1e+03."""
    return f"{float(f'{factor:.2g}'):g}"


def _axis(component: str) -> str:
    return "xyz"["uvw".index(component)]
