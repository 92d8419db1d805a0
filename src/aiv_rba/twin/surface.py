"""Walls: the smooth one, on which the truth lies, and the triangles that a user is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyvista as pv
from pydantic.dataclasses import dataclass as checked

from aiv_rba.settings.types import STRICT, Count, Share
from aiv_rba.twin.geometry import Array, Duct, IntArray

STEP = 1e-5
# Lowest waves of the wall error that are drawn, round and along the wall.
WAVES_AROUND, WAVES_ALONG = 4, 5


@checked(frozen=True, config=STRICT)
class GivenWall:
    """The triangulated wall that a user is given."""

    around: Count = 72
    """Vertices round a section."""
    along: Count = 161
    """Rows of vertices along the axis."""
    error: Share = 0.0
    """Rms displacement of the given wall off the true one, over the hydraulic radius. It is
    smooth, along the normal of the section."""
    scatter: Share = 0.0
    """Rms displacement, likewise, of every vertex by itself: a rough wall."""


@dataclass(frozen=True)
class GivenSurface:
    """A triangulated wall, open at both ends.

    Attributes
    ----------
    points, normals
        (N, 3); normals of the smooth wall, out of the lumen.
    triangles
        (M, 3): vertex numbers, counter-clockwise seen from outside the lumen.
    """

    points: Array
    normals: Array
    triangles: IntArray
    mesh: pv.PolyData = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give PyVista the triangles."""
        faces = np.insert(self.triangles, 0, 3, axis=1)
        object.__setattr__(self, "mesh", pv.PolyData(self.points, faces))

    @property
    def faces(self) -> Array:
        """(M, 3): vector areas of the triangles, out of the lumen."""
        corners = self.points[self.triangles]
        return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2

    @property
    def area(self) -> float:
        """Area of the triangles."""
        return float(np.linalg.norm(self.faces, axis=1).sum())

    def nearest(self, points: Array) -> tuple[Array, Array]:
        """Nearest points of the triangles (N, 3), and those triangles' unit normals (N, 3)."""
        found: Any = self.mesh.find_closest_cell(points, return_closest_point=True)
        cell, nearest = found
        normals = self.faces[cell]
        return np.asarray(nearest), normals / np.linalg.norm(normals, axis=1, keepdims=True)


def smooth_wall(duct: Duct, r: float, theta: Array, y: Array) -> tuple[Array, Array, Array]:
    """Points (N, 3) of the wall at disc radius r, unit normals out of the lumen, area elements.

    An area element is the area of the wall per unit of angle and height.
    """
    at = np.full_like(theta, r)
    points = duct.place(at, theta, y)
    around = duct.place(at, theta + STEP, y) - duct.place(at, theta - STEP, y)
    along = duct.place(at, theta, y + STEP) - duct.place(at, theta, y - STEP)
    normals = np.cross(along, around)
    size = np.linalg.norm(normals, axis=1)
    normals /= size[:, None]
    within = duct.core + 0.1 * (1 - duct.core) if duct.core and r == duct.core else 0.9
    outward = np.sum(normals * (points - duct.place(np.full_like(theta, within), theta, y)), axis=1)
    normals *= np.sign(outward)[:, None]
    return points, normals, size / (2 * STEP) ** 2


def wall_surface(
    duct: Duct, around: int, along: int, span: tuple[float, float], r: float = 1.0
) -> GivenSurface:
    """Structured triangles whose vertices lie on the smooth wall at disc radius r."""
    theta = 2 * np.pi * np.arange(around) / around
    height = np.linspace(*span, along)
    t, y = (grid.ravel() for grid in np.meshgrid(theta, height))
    points, normals, _ = smooth_wall(duct, r, t, y)

    low = np.arange(along - 1)[:, None] * around
    here, beyond = np.arange(around), (np.arange(around) + 1) % around
    a, b = (low + here).ravel(), (low + beyond).ravel()
    c, d = a + around, b + around
    triangles = np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)])
    faces = GivenSurface(points, normals, triangles).faces
    flipped = np.sum(faces * normals[triangles[:, 0]], axis=1) < 0
    triangles[flipped] = triangles[flipped][:, ::-1]
    return GivenSurface(points, normals, triangles)


def hydraulic_radius(duct: Duct) -> tuple[float, float]:
    """Twice the volume over the area of the walls, and the mean area of the sections.

    The radius of a round tube, the gap of an annulus.
    """
    walls = [wall_surface(duct, 360, 361, (0.0, duct.length), r) for r in duct.walls]
    # The ends lie across y, so that they add nothing to the flux of (x, 0, z) / 2.
    volume = sum(
        float(np.sum(wall.points[wall.triangles].mean(axis=1) * wall.faces * [0.5, 0, 0.5]))
        for wall in walls
    )
    return 2 * volume / sum(wall.area for wall in walls), volume / duct.length


def given_walls(duct: Duct, options: GivenWall, radius: float, seed: int) -> list[GivenSurface]:
    """The walls as a user gets them; `radius` is the hydraulic radius, for the wall error."""
    rng = np.random.default_rng(seed)
    walls = []
    for r in duct.walls:
        wall = wall_surface(duct, options.around, options.along, (0.0, duct.length), r)
        if options.error or options.scatter:
            shape = (options.along, options.around)
            displacement = options.error * _smooth_noise(rng, shape).ravel()
            if options.scatter:
                displacement += options.scatter * rng.standard_normal(len(displacement))
            displacement *= radius
            across = wall.normals * [1, 0, 1]
            across /= np.linalg.norm(across, axis=1, keepdims=True)
            points = wall.points + displacement[:, None] * across
            wall = GivenSurface(points, wall.normals, wall.triangles)
        walls.append(wall)
    return walls


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    """Random field (along, around) of the lowest waves, periodic around, with rms one."""
    y, theta = np.meshgrid(
        np.linspace(0, 1, shape[0]), 2 * np.pi * np.arange(shape[1]) / shape[1], indexing="ij"
    )
    field = np.zeros(shape)
    for m in range(WAVES_AROUND + 1):
        for n in range(WAVES_ALONG + 1):
            size, turn, shift = rng.standard_normal(), *rng.uniform(0, 2 * np.pi, 2)
            field += size * np.cos(m * theta + turn) * np.cos(np.pi * n * y + shift)
    return np.asarray(field / np.sqrt(np.mean(field**2)))


def on_smooth_wall(duct: Duct, rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Points (count, 3) uniform on the area of the smooth walls, and normals out of the lumen."""
    theta, y = (
        grid.ravel()
        for grid in np.meshgrid(
            2 * np.pi * (np.arange(360) + 0.5) / 360, duct.length * np.linspace(0, 1, 361)
        )
    )
    largest = 1.05 * max(smooth_wall(duct, r, theta, y)[2].max() for r in duct.walls)
    points, normals = np.empty((0, 3)), np.empty((0, 3))
    while len(points) < count:
        theta, y = rng.uniform(0, 2 * np.pi, 4 * count), rng.uniform(0, duct.length, 4 * count)
        side = rng.integers(len(duct.walls), size=4 * count)
        accepted = rng.random(4 * count)
        for number, r in enumerate(duct.walls):
            drawn = side == number
            at, normal, element = smooth_wall(duct, r, theta[drawn], y[drawn])
            keep = accepted[drawn] < element / largest
            points = np.concatenate([points, at[keep]])
            normals = np.concatenate([normals, normal[keep]])
    chosen = rng.permutation(len(points))[:count]
    return points[chosen], normals[chosen]
