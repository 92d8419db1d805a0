"""The lumen as shrunk copies of its wall; A.3.1."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyvista as pv
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline, LinearNDInterpolator
from scipy.spatial import KDTree
from vtkmodules.vtkCommonCore import vtkDoubleArray
from vtkmodules.vtkFiltersCore import vtkImplicitPolyDataDistance

from aiv_rba.errors import UserError
from aiv_rba.files.case import Case, Opening, Wall
from aiv_rba.files.formats import Array, IntArray

SECTIONS = 41


def across(axis: int) -> tuple[int, int]:
    """The two coordinates of a cross-section, in cyclic order after the axis."""
    return (axis + 1) % 3, (axis + 2) % 3


def apart(points: Array, spacing: float) -> IntArray:
    """Numbers of points (N, 3) of which no two are nearer than `spacing` and that leave no gap."""
    tree = KDTree(points)
    free: NDArray[np.bool_] = np.ones(len(points), dtype=bool)
    chosen = []
    for number in np.random.default_rng(2).permutation(len(points)):
        if free[number]:
            chosen.append(number)
            free[tree.query_ball_point(points[number], spacing)] = False
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True)
class Lumen:
    """The lumen of a vessel, between its wall and its centre line or inner wall.

    A single lumen is shrunk towards the local centre line, the area centroid of its sections. An
    annular lumen is shrunk towards the inner wall: every outer point goes to the inner point at
    the same height and the same angle about the centre line.

    Attributes
    ----------
    wall
        The wall, nondimensional.
    axis
        Vessel axis: 0, 1 or 2.
    annular
        Whether there is an inner wall (patch 1).
    """

    wall: Wall
    axis: int
    annular: bool
    _centre: CubicSpline

    @classmethod
    def from_wall(cls, wall: Wall, axis: int) -> Lumen:
        """Find the centre line.

        Raises
        ------
        UserError
            If a section of the wall has no area.
        """
        heights, centroids = _centroids(wall, axis)
        return cls(wall, axis, bool((wall.patch == 1).any()), CubicSpline(heights, centroids))

    @property
    def outer(self) -> NDArray[np.bool_]:
        """(V,) mask of the vertices of the outer wall, the ones that are shrunk."""
        mask = np.zeros(len(self.wall.points), dtype=bool)
        mask[self.wall.triangles[self.wall.patch == 0]] = True
        return mask

    def centre(self, height: Array) -> Array:
        """Centre line (N, 2) across the axis at axial coordinates (N,)."""
        return np.asarray(self._centre(height))

    def polar(self, points: Array) -> tuple[Array, Array, Array]:
        """Angle about the centre line, axial coordinate and radius (N,) of points (N, 3)."""
        height = points[:, self.axis]
        offset = points[:, across(self.axis)] - self.centre(height)
        return np.arctan2(offset[:, 1], offset[:, 0]), height, np.hypot(*offset.T)

    def outer_radius(self, angle: Array, height: Array) -> Array:
        """Distance of the outer wall from the centre line, linear between its vertices."""
        return np.asarray(self._radius[0](angle, height))

    def inner_radius(self, angle: Array, height: Array) -> Array:
        """Distance of the inner wall from the centre line; zero in a single lumen."""
        if not self.annular:
            return np.zeros_like(angle)
        return np.asarray(self._radius[1](angle, height))

    @cached_property
    def _radius(self) -> list[LinearNDInterpolator]:
        patches = (0, 1) if self.annular else (0,)
        return [self._radius_of(patch) for patch in patches]

    def _radius_of(self, patch: int) -> LinearNDInterpolator:
        vertices = np.unique(self.wall.triangles[self.wall.patch == patch])
        angle, height, radius = self.polar(self.wall.points[vertices])
        turns = (-2 * np.pi, 0.0, 2 * np.pi)
        at = np.concatenate([np.stack([angle + turn, height], axis=1) for turn in turns])
        return LinearNDInterpolator(at, np.tile(radius, 3), rescale=True)

    def shrink(self, points: Array, fractions: Array) -> Array:
        """Copies (K, N, 3) of outer wall points (N, 3) at fractions (K,) of the way to the wall.

        Fraction 1 is the wall; 0 the centre line or the inner wall.
        """
        feet = self.feet(points)
        return np.asarray(feet + fractions[:, None, None] * (points - feet))

    def feet(self, points: Array) -> Array:
        """Where outer wall points (N, 3) shrink to: the centre line or the inner wall, (N, 3)."""
        angle, height, radius = self.polar(points)
        inmost = np.minimum(self.inner_radius(angle, height), radius)
        feet = points.copy()
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        feet[:, across(self.axis)] = self.centre(height) + inmost[:, None] * direction
        return feet

    def distance(self, points: Array) -> Array:
        """Signed distance (N,) of points (N, 3) to the wall, positive outside the lumen."""
        return self._distance(points)

    @cached_property
    def _distance(self) -> Callable[[Array], Array]:
        return distance_to(surface_of(self.wall))

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (N, 3) lie in the lumen, by signed distance to the wall."""
        if not len(points):
            return np.zeros(0, dtype=bool)
        height = points[:, self.axis]
        low, high = self.wall.points[:, self.axis].min(), self.wall.points[:, self.axis].max()
        return np.asarray((self.distance(points) <= 0) & (height >= low) & (height <= high))

    def copies_inside(self, copies: Array) -> NDArray[np.bool_]:
        """Whether the copies (K, N, 3) that `shrink` makes of wall points lie in the lumen.

        All points that are nearer to a copy than the wall is lie on the same side of the wall. So
        the signed distance of one copy settles many others, which saves nine distances in ten.
        """
        inside = np.zeros(copies.shape[:2], dtype=bool)
        open_ = np.ones(copies.shape[:2], dtype=bool)
        while open_.any():
            lines = np.flatnonzero(open_.any(axis=0))
            rank = open_[:, lines].cumsum(axis=0)
            middle = np.argmax(rank == (rank[-1] + 1) // 2, axis=0)
            at = copies[middle, lines]
            distance = self.distance(at)
            settled = np.linalg.norm(copies[:, lines] - at, axis=2) < np.abs(distance)
            settled[middle, np.arange(len(lines))] = True
            settled &= open_[:, lines]
            inside[:, lines] |= settled & (distance <= 0)
            open_[:, lines] &= ~settled
        return inside


@dataclass(frozen=True)
class Region:
    """The region of flow of a lumen of any kind: what walls and openings enclose.

    Attributes
    ----------
    wall
        The walls, nondimensional.
    openings
        The faces that close it where there is no wall.
    """

    wall: Wall
    openings: tuple[Opening, ...]

    @cached_property
    def boundary(self) -> pv.PolyData:
        """Walls and openings as one closed surface, normals outwards."""
        points, triangles = [self.wall.points], [self.wall.triangles]
        count = len(self.wall.points)
        for opening in self.openings:
            points.append(opening.points)
            triangles.append(opening.triangles + count)
            count += len(opening.points)
        faces = np.insert(np.concatenate(triangles), 0, 3, axis=1)
        # Vertices of openings lie on those of the walls: joined, the sign of a distance is right.
        mesh: pv.PolyData = pv.PolyData(np.concatenate(points), faces).clean(tolerance=1e-9)
        return mesh

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lower and upper corner (3,) of the box round it."""
        points = np.asarray(self.boundary.points)
        return points.min(axis=0), points.max(axis=0)

    @property
    def volume(self) -> float:
        """Volume that it encloses."""
        return float(self.boundary.volume)

    @cached_property
    def radius(self) -> float:
        """Hydraulic radius with the openings counted as walls: 2 volumes over the boundary."""
        return float(2 * self.volume / self.boundary.area)

    def wall_distance(self, points: Array) -> Array:
        """Distance (N,) of points (N, 3) to the walls, without sign."""
        return np.abs(self._wall_distance(points))

    def distance(self, points: Array) -> Array:
        """Signed distance (N,) to walls and openings, positive outside."""
        return self._distance(points)

    @cached_property
    def _wall_distance(self) -> Callable[[Array], Array]:
        return distance_to(surface_of(self.wall))

    @cached_property
    def _distance(self) -> Callable[[Array], Array]:
        return distance_to(self.boundary)

    def inside(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (N, 3) lie in the region."""
        return np.asarray(self.distance(points) <= 0)


def lumen_of(case: Case) -> Lumen | Region:
    """The lumen of a case, as a tube where it is one."""
    if case.lumen == "general":
        return Region(case.wall, case.openings)
    return Lumen.from_wall(case.wall, case.axis)


def surface_of(wall: Wall) -> pv.PolyData:
    """The triangles of a wall."""
    return pv.PolyData(wall.points, np.insert(wall.triangles, 0, 3, axis=1))


def distance_to(surface: pv.PolyData) -> Callable[[Array], Array]:
    """Signed distance (N,) of points (N, 3) to a surface, positive on the side of its normals.

    To prepare the surface takes as long as many distances, so this is done once.
    """
    function = vtkImplicitPolyDataDistance()
    function.SetInput(surface)

    def distance(points: Array) -> Array:
        if not len(points):
            return np.zeros(0)
        found = vtkDoubleArray()
        function.FunctionValue(pv.convert_array(np.ascontiguousarray(points)), found)
        return np.array(pv.convert_array(found))

    return distance


def nearest_on(surface: pv.PolyData, points: Array) -> Array:
    """Nearest points (N, 3) of the triangles of a surface."""
    if not len(points):
        return points
    found: Any = surface.find_closest_cell(points, return_closest_point=True)
    return np.asarray(found[1])


def _centroids(wall: Wall, axis: int) -> tuple[Array, Array]:
    """Heights (S,) and area centroids (S, 2) of sections of the outer wall.

    Area and first moments of a section are boundary integrals over the segments in which its
    plane cuts the triangles, so that the segments need not be ordered.
    """
    points = wall.points
    faces = np.insert(wall.triangles[wall.patch == 0], 0, 3, axis=1)
    mesh = pv.PolyData(points, faces)
    mesh.point_data["normal"] = wall.normals
    low, high = points[:, axis].min(), points[:, axis].max()
    margin = 1e-3 * (high - low)
    heights = np.linspace(low + margin, high - margin, SECTIONS)
    along = np.eye(3)[axis]
    centroids = []
    for height in heights:
        section = mesh.slice(normal=along, origin=height * along)
        ends = section.lines.reshape(-1, 3)[:, 1:]
        a, b = (np.asarray(section.points)[ends[:, i]][:, across(axis)] for i in (0, 1))
        tangent = b - a
        normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1)
        outward = np.asarray(section["normal"])[ends].mean(axis=1)[:, across(axis)]
        normal *= np.sign(np.sum(normal * outward, axis=1))[:, None]
        middle = (a + b) / 2
        area = np.sum(middle * normal) / 2
        if not area > 0:
            raise UserError(
                f"wall: the section at {'xyz'[axis]}* = {height:.4g} has area {area:.3g}, "
                "expected a closed section with normals out of the lumen"
            )
        squares = (a * a + a * b + b * b) / 3
        centroids.append(np.sum(squares * normal, axis=0) / (2 * area))
    return heights, np.array(centroids)
