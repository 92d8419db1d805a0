"""The wall: measured velocities near it, where a fluid is at rest, and its wall function."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import KDTree

from aiv_rba.files.case import Case, Opening, Wall
from aiv_rba.files.formats import Array
from aiv_rba.files.warnings import InputWarning
from aiv_rba.problems.velocimetry.choices import LARGEST_MISFIT
from aiv_rba.stages.ingest.plausibility.evidence import Evidence
from aiv_rba.stages.ingest.walls import vector_areas
from aiv_rba.statistics import matched_deviation

# Shares of the rows: those nearest to the wall, and those deepest in the vessel.
NEAR, DEEP = 0.3, 0.5
# Most rows that are looked at.
MOST = 50_000
# Fewest rows near the wall, and deep rows whose median velocity a row is compared with.
FEWEST, NEIGHBOURS = 60, 20
# The wall must be no farther from these rows than so many times the range of their distances.
REACH = 2.0
# Rows farther than so many deviations from the fit are mismatches.
MISMATCH = 3.0
# Speed at the wall over that in the depth from which a wall is doubted: 0.095 at most on the
# twins, and 0.13 to 0.6 where their wall is shifted by a fifth of the hydraulic radius.
LIMIT = 0.12
STANDARD_ERRORS = 3


def check_wall_speed(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether measured velocities vanish on the wall."""
    found = wall_speed(evidence.case)
    if found is None:
        return
    speed, error = found
    if abs(speed) - STANDARD_ERRORS * error > LIMIT:
        what = "does not vanish on" if speed > 0 else "vanishes before"
        yield InputWarning(
            "wall_speed",
            f"the measured velocity {what} the wall: extrapolated to it, it is {100 * speed:.0f} % "
            f"(+- {100 * error:.1g}) of that deep in the vessel: check that the wall is not "
            "shifted, turned or of another size",
        )


def check_wall_function(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether the wall function vanishes on the wall as far as exact no-slip needs it."""
    misfit = evidence.case.wall_function.misfit
    if misfit > LARGEST_MISFIT:
        yield InputWarning(
            "wall_function",
            f"the wall function is {100 * misfit:.2g} % of its size on the wall; a training with "
            f"exact no-slip refuses more than {100 * LARGEST_MISFIT:.2g} %: give a finer or "
            "smoother wall, or set train.network.no_slip: soft",
        )


def wall_speed(case: Case) -> tuple[float, float] | None:
    """Velocity extrapolated to the wall over that in the depth, and its standard error.

    Each of the rows near the wall is compared with the median velocity of the deepest rows that
    are nearest to it in space and time: its velocity along that one is fitted by the size of that
    one times a linear function of the distance to the wall, whose constant is the speed at the
    wall. None if the rows are too few or too far from the wall, nothing moves, or the region is
    not mostly enclosed by walls: round a body the velocity is no linear function for long.
    """
    if _area(case.wall) < sum(_area(opening) for opening in case.openings):
        return None
    every = -(-len(case.tracks.row) // MOST)
    points = case.tracks.points[::every]
    depth = _depth(case, points[:, 1:])
    near = depth <= np.quantile(depth, NEAR)
    deep = depth >= np.quantile(depth, DEEP)
    if near.sum() < FEWEST or depth[near].min() > REACH * np.ptp(depth[near]):
        return None
    velocity = np.stack(list(case.tracks.velocity.values()), axis=1)[::every]
    moments = _moments(case, points)
    nearest = KDTree(moments[deep]).query(moments[near], NEIGHBOURS)[1]
    reference = np.median(velocity[deep][nearest], axis=1)
    size = np.linalg.norm(reference, axis=1)
    moving = size > 0
    if moving.sum() < FEWEST:
        return None
    size = size[moving]
    along = np.sum((velocity[near] * reference)[moving], axis=1) / size
    return _constant(size[:, None] * np.vander(depth[near][moving], 2), along)


def _area(surface: Wall | Opening) -> float:
    return float(np.linalg.norm(vector_areas(surface.points, surface.triangles), axis=1).sum())


def _depth(case: Case, places: Array) -> Array:
    """Distance (N,) of places (N, 3) to the wall, positive inside."""
    vertex = KDTree(case.wall.points).query(places)[1]
    offset = case.wall.points[vertex] - places
    return np.asarray(np.sum(offset * case.wall.normals[vertex], axis=1))


def _moments(case: Case, points: Array) -> Array:
    """Rows (N, 4) in space and time, whose distances say how alike their flow is, (N, 4 or 5).

    Space is in hydraulic radii. A period is a circle with the radius of one of them; other times
    are in units of the time in which the flow goes as far.
    """
    place, time = points[:, 1:] / case.radius, points[:, 0]
    if case.flow != "periodic":
        return np.column_stack([place, time / case.radius])
    phase = 2 * np.pi * time / case.scales.nondimensional_period
    return np.column_stack([place, np.cos(phase), np.sin(phase)])


def _constant(matrix: Array, values: Array) -> tuple[float, float] | None:
    """Last coefficient of a linear fit without outliers, and its standard error."""
    kept = np.ones(len(values), dtype=bool)
    for _ in range(4):
        solution, _, rank, _ = np.linalg.lstsq(matrix[kept], values[kept])
        residual = values - matrix @ solution
        spread = float(matched_deviation(residual[:, None])[0])
        kept = np.abs(residual) <= MISMATCH * spread
    if rank < matrix.shape[1] or kept.sum() < FEWEST:
        return None
    covariance = spread**2 * np.linalg.inv(matrix[kept].T @ matrix[kept])
    return float(solution[-1]), float(np.sqrt(covariance[-1, -1]))
