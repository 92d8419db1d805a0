"""A smooth function that vanishes on the wall, from the wall's mesh alone."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import LinAlgError, svd
from scipy.spatial.distance import cdist

from aiv_rba.files.case import WallFunction
from aiv_rba.files.formats import Array
from aiv_rba.geometry import apart
from aiv_rba.stages.ingest.continuation import LENGTH
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.walls import Surface, enclosed_volume

SOURCES, MOST_SOURCES = 1600, 3000
# Most sources within an inner wall for the sake of its thinness.
MOST_OF_BODY = 600
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


def fit_wall_function(enclosure: Enclosure, given: Enclosure) -> WallFunction:
    """Fit phi with Laplacian -1, phi = 0 on the walls and no slope through the openings.

    This is the velocity of fully developed flow in a straight duct, so a slender vessel's velocity
    is nearly phi times a function of the axial coordinate. It is found by the method of
    fundamental solutions (Fairweather & Karageorghis 1998): a particular solution plus the fields
    of point sources outside the lumen, whose strengths are least squares on points of the wall.
    In a tube along an axis the particular solution is a parabola across it; otherwise harmonic
    polynomials are fitted too, so that it is one across a straight vessel in any direction.
    The vertices are met, not the flat triangles between them: these cut the corners of the wall.
    Vertices that scatter are not met but averaged.

    Parameters
    ----------
    enclosure
        The walls, continued, nondimensional.
    given
        The walls as they are given.

    Raises
    ------
    LinAlgError
        If it cannot be computed, is negative in the lumen, or as large on the wall as there.
    """
    radius = enclosure.radius
    spacing, groups = _spacings(enclosure)
    ends, outward = _on_ends(enclosure, spacing / OVERSAMPLING)
    layers = [_on_walls(some, apart_by, radius) for apart_by, some in groups]
    points = np.concatenate([layer.points for layer in layers])

    coarse_ends = apart(ends, spacing)
    # Without sources round the rims the corners between wall and ends are badly met.
    rims, away = _rims(enclosure)
    on_rim = apart(rims, spacing)
    middle = [*(layer.middle for layer in layers), ends[coarse_ends], rims[on_rim]]
    direction = [*(layer.direction for layer in layers), outward[coarse_ends], away[on_rim]]
    offset = [layer.offset for layer in layers]
    offset.append(np.full(len(coarse_ends) + len(on_rim), OFFSET * spacing))
    sources = _outside(enclosure, *(np.concatenate(part) for part in (middle, direction, offset)))

    matrix = 1 / cdist(points, sources)
    slopes = outward @ sources.T - np.sum(outward * ends, axis=1)[:, None]
    slopes = slopes / cdist(ends, sources) ** 3
    polynomials = _Polynomials(enclosure.axis)
    system = np.block(
        [
            [matrix, polynomials.values(points)],
            [radius * slopes, radius * polynomials.slopes(ends, outward)],
        ]
    )
    bend = polynomials.particular
    right = -np.concatenate(
        [
            np.sum((points @ bend) * points, axis=1),
            2 * radius * np.sum((ends @ bend) * outward, axis=1),
        ]
    )
    # The continuation repeats the errors of the rims: each of its lines counts as one point.
    repeated = np.zeros(len(right), dtype=bool)
    repeated[: len(points)] = given.distance_closed(points) > 1e-6 * radius
    weights = np.where(repeated, np.sqrt(spacing / OVERSAMPLING / (LENGTH * radius)), 1.0)
    system, right = weights[:, None] * system, weights * right
    if not np.isfinite(system).all():
        raise LinAlgError("its equations are not finite")
    size = np.linalg.norm(system, axis=0)
    solution = _cross_validated(system / size, right) / size

    constant, linear, quadratic = polynomials.sum(solution[len(sources) :])
    function = WallFunction(
        sources,
        solution[: len(sources)],
        constant,
        linear,
        quadratic,
        unit=radius**2 / 4,
        slope=enclosure.volume / enclosure.area,
        misfit=np.inf,
    )
    if enclosure.axis is None:
        function = replace(function, unit=2 * _mean(function, given))
    vertices = np.concatenate([wall.points[np.unique(wall.triangles)] for wall in given.walls])
    misfit = float(np.sqrt(np.mean(function(vertices) ** 2))) / function.unit
    if not (function.unit > 0 and misfit < 1):
        raise LinAlgError("what fits best is negative in the lumen, or as large on the wall")
    return replace(function, misfit=misfit)


class _Polynomials:
    """Polynomials of which a parabola with Laplacian -1 is completed: harmonic up to degree two.

    Parameters
    ----------
    axis
        Axis of a tube, across which the parabola lies and where a constant completes it; None
        otherwise.

    Attributes
    ----------
    particular
        (3, 3): quadratic form of the parabola.
    """

    def __init__(self, axis: int | None) -> None:
        identity = np.eye(3)
        if axis is not None:
            self.particular = -np.diag(1 - identity[axis]) / 4
            self._linear, self._quadratic = np.zeros((1, 3)), np.zeros((1, 3, 3))
        else:
            self.particular = -identity / 6
            products = np.einsum("ai,bj->abij", identity, identity)
            products = (products + products.transpose(0, 1, 3, 2)) / 2
            first, second = [0, 1, 2], [1, 2, 0]
            squares = products[first, first] - products[second, second]
            harmonic = np.concatenate([products[first, second], squares[:2]])
            self._linear = np.concatenate([np.zeros((1, 3)), identity, np.zeros((5, 3))])
            self._quadratic = np.concatenate([np.zeros((4, 3, 3)), harmonic])
        self._constant = np.eye(1, len(self._linear))[0]

    def values(self, points: Array) -> Array:
        """Values (N, B) at points (N, 3)."""
        squares = np.einsum("ni,bij,nj->nb", points, self._quadratic, points)
        return np.asarray(self._constant + points @ self._linear.T + squares)

    def slopes(self, points: Array, direction: Array) -> Array:
        """Slopes (N, B) at points along directions, both (N, 3)."""
        bends = 2 * np.einsum("ni,bij,nj->nb", points, self._quadratic, direction)
        return np.asarray(direction @ self._linear.T + bends)

    def sum(self, factors: Array) -> tuple[float, Array, Array]:
        """Constant, linear and quadratic part of the parabola and the sum with factors (B,)."""
        quadratic = self.particular + np.einsum("b,bij->ij", factors, self._quadratic)
        return float(factors @ self._constant), factors @ self._linear, quadratic


@dataclass(frozen=True)
class _Layer:
    """Points of walls, and from where and how far sources are moved out of the lumen."""

    points: Array
    middle: Array
    direction: Array
    offset: Array


def _spacings(enclosure: Enclosure) -> tuple[float, list[tuple[float, list[Surface]]]]:
    """Spacing of the sources on the openings, and the walls with theirs, of equal ones together."""
    area = enclosure.area
    if enclosure.axis is None:
        area += sum(np.linalg.norm(opening.areas, axis=1).sum() for opening in enclosure.openings)
    spacing = min(np.sqrt(area / SOURCES), LONGEST * enclosure.radius)
    spacing = max(spacing, np.sqrt(area / MOST_SOURCES))
    groups: dict[float, list[Surface]] = {}
    for wall in enclosure.walls:
        size = np.linalg.norm(wall.areas, axis=1).sum()
        own = spacing
        if enclosure.axis is None and wall is not enclosure.outer:
            # What is thin in a large region needs more sources.
            radius = 2 * abs(enclosed_volume(wall.points, wall.triangles, wall.loops)) / size
            own = min(spacing, max(LONGEST * radius, np.sqrt(size / MOST_OF_BODY)))
        if size > 0:
            groups.setdefault(float(own), []).append(wall)
    return float(spacing), list(groups.items())


def _mean(function: WallFunction, enclosure: Enclosure) -> float:
    """Mean of phi over the lumen, from random points."""
    low, high = enclosure.outer.points.min(axis=0), enclosure.outer.points.max(axis=0)
    points = np.random.default_rng(3).uniform(low, high, size=(20000, 3))
    return float(np.mean(function(points[enclosure.distance_closed(points) < 0])))


def _on_walls(walls: list[Surface], spacing: float, longest: float) -> _Layer:
    """Points that are vertices, or lie on triangles with an edge above `longest`, with sources."""
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
        used = np.unique(wall.triangles)
        points += [wall.points[used], _in_triangles(corners[chosen], rng)]
        normals += [wall.normals[used], unit]
    at, away = np.concatenate(points), np.concatenate(normals)
    fine = apart(at, spacing / OVERSAMPLING)
    at, away = at[fine], away[fine]
    coarse = apart(at, spacing)
    return _Layer(at, at[coarse], away[coarse], np.full(len(coarse), OFFSET * spacing))


def _in_triangles(corners: Array, rng: np.random.Generator) -> Array:
    """One random point (N, 3) in each triangle (N, 3, 3)."""
    a, b = rng.uniform(size=(2, len(corners), 1))
    a, b = np.where(a + b > 1, 1 - a, a), np.where(a + b > 1, 1 - b, b)
    origin = corners[:, 0]
    return np.asarray(origin + a * (corners[:, 1] - origin) + b * (corners[:, 2] - origin))


def _on_ends(enclosure: Enclosure, spacing: float) -> tuple[Array, Array]:
    """Points on the openings, and unit vectors out of the lumen along their normals."""
    rng = np.random.default_rng(1)
    corners, number = enclosure.ends
    if not len(corners):
        return np.empty((0, 3)), np.empty((0, 3))
    areas = np.linalg.norm(
        np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
    )
    count = 20 + int(4 * areas.sum() / spacing**2)
    chosen = rng.choice(len(corners), size=count, p=areas / areas.sum())
    points = _in_triangles(corners[chosen], rng)
    outward = enclosure.outward[number[chosen]]
    # The ends of the outer wall are closed whole, across an inner wall too.
    inside = enclosure.distance_closed(points - spacing / 10 * outward) < 0
    points, outward = points[inside], outward[inside]
    chosen = apart(points, spacing)
    return points[chosen], outward[chosen]


def _rims(enclosure: Enclosure) -> tuple[Array, Array]:
    """Vertices of the open edges, and the sum of the wall's normal and that of the opening."""
    points, directions = [np.empty((0, 3))], [np.empty((0, 3))]
    for wall, rims in zip(enclosure.walls, enclosure.rims, strict=True):
        normals = wall.normals
        for loop, rim in zip(wall.loops, rims, strict=True):
            points.append(wall.points[loop])
            directions.append(normals[loop] + enclosure.outward[rim])
    return np.concatenate(points), np.concatenate(directions)


def _outside(enclosure: Enclosure, points: Array, direction: Array, offset: Array) -> Array:
    """Points moved out of the lumen by `offset`, or less where that would lead back into it."""
    distance = offset[:, None].copy()
    for _ in range(6):
        moved = points + distance * direction
        near = enclosure.distance_closed(moved) < 0.5 * distance[:, 0]
        if not near.any():
            break
        distance[near] /= 2
    moved = points + distance * direction
    return np.asarray(moved[enclosure.distance_closed(moved) > 0.01 * offset])


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
