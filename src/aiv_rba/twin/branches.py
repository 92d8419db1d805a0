"""A parent vessel that divides into two daughters: round branches with a smooth junction.

The lumen is where a function is negative: the smooth minimum of the distances from the walls of
the branches. Lengths are in radii of the parent; the branches meet at the origin, their centre
lines lie in the plane z = 0, and the parent runs along x.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import pyvista as pv
from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Positive
from aiv_rba.twin.geometry import Array
from aiv_rba.twin.surface import GivenSurface

Angle = Annotated[float, Field(gt=20, lt=80)]
# Newton steps onto the wall; each about doubles the digits.
NEWTON_STEPS = 6


@dataclass(frozen=True, config=STRICT)
class Daughter:
    """One daughter vessel."""

    angle: Angle
    """Angle to the parent's direction, degrees."""
    radius: Annotated[float, Field(gt=0.3, le=1)] = 0.8
    """Radius, in radii of the parent."""


@dataclass(frozen=True, config=STRICT)
class Branches:
    """The vessel: a parent and two daughters, one on each side."""

    left: Daughter = Daughter(angle=35.0, radius=0.8)
    """The daughter that turns towards +y."""
    right: Daughter = Daughter(angle=35.0, radius=0.8)
    """The daughter that turns towards -y."""
    length: Positive = 5.0
    """Length of every branch that is measured, from where they meet."""
    rounding: Annotated[float, Field(gt=0.02, lt=0.4)] = 0.15
    """Width over which walls of two branches blend; about the radius of the flow divider."""

    @property
    def directions(self) -> Array:
        """Unit vectors (3, 3) from the junction along the parent and the daughters."""
        left, right = np.radians([self.left.angle, -self.right.angle])
        return np.array(
            [[-1.0, 0, 0], [np.cos(left), np.sin(left), 0], [np.cos(right), np.sin(right), 0]]
        )

    @property
    def radii(self) -> Array:
        """Radii (3,) of the parent and the daughters."""
        return np.array([1.0, self.left.radius, self.right.radius])

    def level(self, x: Any, y: Any, z: Any, lib: Any = np) -> tuple[Any, tuple[Any, ...]]:
        """The function whose zero is the wall, negative in the lumen, and its gradient.

        `lib` has the functions sqrt, exp, log and IfPos: NGSolve; NumPy is the default.
        """
        total, slope = 0.0, [0.0, 0.0, 0.0]
        for direction, radius in zip(self.directions, self.radii, strict=True):
            along = x * direction[0] + y * direction[1]
            # A branch is the surroundings of a ray.
            along = (along + _size(along, lib)) / 2
            off = (x - along * direction[0], y - along * direction[1], z)
            distance = lib.sqrt(off[0] * off[0] + off[1] * off[1] + off[2] * off[2] + 1e-20)
            weight = lib.exp((radius - distance) / self.rounding)
            total = total + weight
            slope = [s + weight * o / distance for s, o in zip(slope, off, strict=True)]
        return -self.rounding * lib.log(total), tuple(s / total for s in slope)

    def uniform(self, rng: np.random.Generator, count: int, reach: float) -> Array:
        """Points (count, 3) uniform in the lumen, as far as `reach` along every branch."""
        found = np.empty((0, 3))
        corner = np.array([reach, reach, 1.2])
        while len(found) < count:
            points = rng.uniform(-corner, corner, size=(20 * count, 3))
            inside = self.level(*points.T)[0] < 0
            inside &= (points @ self.directions.T < reach).all(axis=1)
            found = np.concatenate([found, points[inside]])
        return found[:count]

    def onto_wall(self, points: Array) -> tuple[Array, Array]:
        """Points (N, 3) moved onto the wall along its normals, and the normals out of the lumen."""
        for _ in range(NEWTON_STEPS):
            value, slope = self.level(*points.T)
            gradient = np.stack(slope, axis=1)
            square = np.sum(gradient**2, axis=1)
            points = points - (value / square)[:, None] * gradient
        return points, gradient / np.sqrt(square)[:, None]

    def surface(self, spacing: float) -> GivenSurface:
        """Triangles of about the size `spacing`, open at the three ends, corners on the wall."""
        reach = self.length + 2 * spacing
        corner = np.array([reach, reach, 1 + 2 * spacing])
        shape = np.ceil(2 * corner / spacing).astype(int) + 1
        grid = pv.ImageData(dimensions=tuple(shape), spacing=(spacing,) * 3, origin=-corner)
        level, _ = self.level(*np.asarray(grid.points, dtype=float).T)
        mesh = grid.contour([0.0], scalars=level).smooth_taubin(n_iter=20, pass_band=0.1)
        mesh.points, _ = self.onto_wall(mesh.points.astype(float))
        for direction in self.directions:
            mesh = mesh.clip(normal=direction, origin=self.length * direction)
        mesh = mesh.triangulate().clean()
        points, normals = self.onto_wall(np.asarray(mesh.points, dtype=float))
        triangles = mesh.regular_faces.astype(np.int64)
        faces = GivenSurface(points, normals, triangles).faces
        flipped = np.sum(faces * normals[triangles[:, 0]], axis=1) < 0
        triangles[flipped] = triangles[flipped][:, ::-1]
        return GivenSurface(points, normals, triangles)


def _size(value: Any, lib: Any) -> Any:
    return np.abs(value) if lib is np else lib.IfPos(value, value, -value)
