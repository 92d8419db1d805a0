"""A smooth function that vanishes on the wall, from the wall's mesh alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.linalg import svd
from scipy.spatial.distance import cdist

from aiv_rba.files.case import WallFunction
from aiv_rba.files.formats import Array
from aiv_rba.geometry import apart
from aiv_rba.stages.ingest.continuation import LENGTH
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.walls import Surface

SOURCES, MOST_SOURCES = 1600, 3000
# Sources lie this many of their spacings outside the lumen, where their fields have smoothed out
# on the wall; nearer ones leave bumps, farther ones make the system singular.
OFFSET = 3.5
# Longest spacing of the sources, in hydraulic radii, unless that takes too many of them.
LONGEST = 0.4
# Points of the wall are this much closer than the sources, so that the fit is overdetermined.
OVERSAMPLING = 2.0
SMALLEST_SINGULAR_VALUE = 1e-10
# Squares of singular values, of columns of length one, below which they are damped.
DAMPING = 10.0 ** np.arange(-20, 1, 0.5)


def fit_wall_function(enclosure: Enclosure, axis: int, given: Enclosure) -> WallFunction:
    """Fit phi with Laplacian -1, phi = 0 on the wall and no slope along the axis at the ends.

    This is the velocity of fully developed flow in a straight duct, so a slender vessel's velocity
    is nearly phi times a function of the axial coordinate. It is found by the method of
    fundamental solutions (Fairweather & Karageorghis 1998): a particular solution plus the fields
    of point sources outside the lumen, whose strengths are least squares on points of the wall.
    The vertices are met, not the flat triangles between them: these cut the corners of the wall.
    Vertices that scatter are not met but averaged.

    Parameters
    ----------
    enclosure
        The walls, continued, nondimensional.
    axis
        Vessel axis: 0, 1 or 2.
    given
        The walls as they are given.
    """
    walls, radius = enclosure.walls, enclosure.radius
    spacing = min(np.sqrt(enclosure.area / SOURCES), LONGEST * radius)
    spacing = max(spacing, np.sqrt(enclosure.area / MOST_SOURCES))
    points, normals = _on_walls(walls, spacing, radius)
    fine = apart(points, spacing / OVERSAMPLING)
    points, normals = points[fine], normals[fine]
    ends, outward = _on_ends(enclosure, axis, spacing / OVERSAMPLING)

    coarse, coarse_ends = apart(points, spacing), apart(ends, spacing)
    middle = np.concatenate([points[coarse], ends[coarse_ends]])
    direction = np.concatenate([normals[coarse], outward[coarse_ends]])
    # Without sources round the rims the corners between wall and ends are badly met.
    rims, away = _rims(walls, axis)
    on_rim = apart(rims, spacing)
    middle = np.concatenate([middle, rims[on_rim]])
    direction = np.concatenate([direction, away[on_rim]])
    sources = _outside(enclosure, middle, direction, OFFSET * spacing)

    matrix = 1 / cdist(points, sources)
    slopes = (sources[:, axis] - ends[:, None, axis]) * outward[:, None, axis]
    slopes = slopes / cdist(ends, sources) ** 3
    ones = np.concatenate([np.ones(len(points)), np.zeros(len(ends))])
    system = np.column_stack([np.concatenate([matrix, radius * slopes]), ones])
    across = np.delete(points, axis, axis=1)
    right = np.concatenate([np.sum(across**2, axis=1) / 4, np.zeros(len(ends))])
    # The continuation repeats the errors of the rims: each of its lines counts as one point.
    heights = np.concatenate([wall.points[:, axis] for wall in given.walls])
    repeated = np.zeros(len(right), dtype=bool)
    repeated[: len(points)] = (points[:, axis] < heights.min()) | (points[:, axis] > heights.max())
    weights = np.where(repeated, np.sqrt(spacing / OVERSAMPLING / (LENGTH * radius)), 1.0)
    system, right = weights[:, None] * system, weights * right
    size = np.linalg.norm(system, axis=0)
    solution = _cross_validated(system / size, right) / size

    function = WallFunction(
        sources, solution[:-1], float(solution[-1]), axis, unit=radius**2 / 4, misfit=np.inf
    )
    vertices = np.concatenate([wall.points for wall in given.walls])
    misfit = float(np.sqrt(np.mean(function(vertices) ** 2))) / function.unit
    return replace(function, misfit=misfit)


def _on_walls(walls: list[Surface], spacing: float, longest: float) -> tuple[Array, Array]:
    """Vertices, and points on triangles with an edge above `longest`; with their normals."""
    points, normals = [], []
    rng = np.random.default_rng(0)
    for wall in walls:
        corners = wall.points[wall.triangles]
        edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max(axis=1)
        large = np.flatnonzero(edges > longest)
        areas = np.linalg.norm(wall.areas, axis=1)
        counts = np.ceil(4 * OVERSAMPLING**2 * areas[large] / spacing**2).astype(int)
        chosen = np.repeat(large, counts)
        unit = wall.areas[chosen] / areas[chosen, None]
        points += [wall.points, _in_triangles(corners[chosen], rng)]
        normals += [wall.normals, unit]
    return np.concatenate(points), np.concatenate(normals)


def _in_triangles(corners: Array, rng: np.random.Generator) -> Array:
    """One random point (N, 3) in each triangle (N, 3, 3)."""
    a, b = rng.uniform(size=(2, len(corners), 1))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    origin = corners[:, 0]
    return np.asarray(origin + a * (corners[:, 1] - origin) + b * (corners[:, 2] - origin))


def _on_ends(enclosure: Enclosure, axis: int, spacing: float) -> tuple[Array, Array]:
    """Points on the two ends, and unit vectors along the axis out of the lumen."""
    rng = np.random.default_rng(1)
    corners = enclosure.ends
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    count = 20 + int(4 * areas.sum() / spacing**2)
    chosen = rng.choice(len(corners), size=count, p=areas / areas.sum())
    points = _in_triangles(corners[chosen], rng)
    outward = _along(points[:, axis], axis, enclosure.outer.points[:, axis].mean())
    # The ends of the outer wall are closed whole, across an inner wall too.
    inside = enclosure.distance_outside(points - spacing / 10 * outward) < 0
    points, outward = points[inside], outward[inside]
    chosen = apart(points, spacing)
    return points[chosen], outward[chosen]


def _rims(walls: list[Surface], axis: int) -> tuple[Array, Array]:
    """Vertices of the open edges, and the sum of the wall's normal and that of the end."""
    rims = [np.concatenate(wall.loops) for wall in walls]
    points = np.concatenate([wall.points[rim] for wall, rim in zip(walls, rims, strict=True)])
    normals = np.concatenate([wall.normals[rim] for wall, rim in zip(walls, rims, strict=True)])
    return points, normals + _along(points[:, axis], axis, walls[0].points[:, axis].mean())


def _along(height: Array, axis: int, middle: float) -> Array:
    """Unit vectors along the axis, away from the middle of the vessel."""
    vectors = np.zeros((len(height), 3))
    vectors[:, axis] = np.sign(height - middle)
    return vectors


def _outside(enclosure: Enclosure, points: Array, direction: Array, offset: float) -> Array:
    """Points moved out of the lumen by `offset`, or less where that would lead back into it."""
    distance = np.full((len(points), 1), offset)
    for _ in range(6):
        moved = points + distance * direction
        near = enclosure.distance_outside(moved) < 0.5 * distance[:, 0]
        if not near.any():
            break
        distance[near] /= 2
    moved = points + distance * direction
    return np.asarray(moved[enclosure.distance_outside(moved) > 0.01 * offset])


def _cross_validated(system: Array, right: Array) -> Array:
    """Least squares, damped as generalised cross-validation asks for (Golub, Heath & Wahba 1979).

    The singular vectors of small singular values are short waves on the wall. On a smooth wall
    each of them lowers the misfit; on a rough one they follow the scatter of its vertices, and
    RSS / (n - k)^2 is smallest without them, with the residual sum of squares RSS, n rows and the
    effective number k of parameters.

    Parameters
    ----------
    system
        (n, columns), the columns of one length.
    right
        (n,).

    Returns
    -------
    Array
        (columns,).
    """
    u, values, v = svd(system, full_matrices=False)
    kept = values > SMALLEST_SINGULAR_VALUE * values[0]
    u, squares = u[:, kept], values[kept] ** 2
    coefficients = u.T @ right
    beyond = np.sum((right - u @ coefficients) ** 2)
    # Share of each coefficient that is left out, for every damping.
    left_out = DAMPING[:, None] / (squares + DAMPING[:, None])
    misfits = beyond + np.sum((left_out * coefficients) ** 2, axis=1)
    free = len(right) - np.sum(1 - left_out, axis=1)
    best = np.argmin(misfits / free**2)
    return np.asarray(v[kept].T @ ((1 - left_out[best]) * coefficients / values[kept]))
