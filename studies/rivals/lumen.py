"""Points in the lumen and on the wall."""

from __future__ import annotations

import numpy as np

from aiv_rba.files.case import Case
from aiv_rba.files.formats import Array
from aiv_rba.geometry import apart, lumen_of


def inside_points(case: Case, count: int, seed: int = 0) -> Array:
    """Points (count, 3), uniform in the lumen."""
    rng, lumen = np.random.default_rng(seed), lumen_of(case)
    low, high = case.corners
    points = np.empty((0, 3))
    while len(points) < count:
        tries = rng.uniform(low, high, (4 * count, 3))
        points = np.concatenate([points, tries[lumen.inside(tries)]])
    return points[:count]


def wall_points(case: Case, spacing: float) -> Array:
    """Vertices (N, 3) of the wall of which no two are nearer than `spacing`."""
    vertices = case.wall.points[np.unique(case.wall.triangles)]
    return vertices[apart(vertices, spacing)]
