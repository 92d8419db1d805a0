"""The space between the walls and their openings: size, and what lies in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyvista as pv

from aiv_rba.errors import UserError
from aiv_rba.files.case import Opening
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.stages.ingest.caps import cap
from aiv_rba.stages.ingest.tubes import TOGETHER, ends_apart, heights_of_ends
from aiv_rba.stages.ingest.walls import Surface, enclosed_volume, mesh_of, used_points, vector_areas

# An open inner wall ends at most this far from an opening, over the square root of its area.
_AT_OPENING = 0.2
# Vertices of an inner wall this close to its opening may stand out of the outer wall.
_NEAR = 0.05


@dataclass(frozen=True)
class Enclosure:
    """What an outer wall and, within it, inner walls and bodies enclose.

    Attributes
    ----------
    outer, inner
        The walls.
    axis
        Vessel axis, 0, 1 or 2, of a tube along it; None for a lumen of any other shape.
    """

    outer: Surface
    inner: tuple[Surface, ...] = ()
    axis: int | None = None

    @property
    def walls(self) -> list[Surface]:
        """The outer wall and the inner ones."""
        return [self.outer, *self.inner]

    @cached_property
    def _caps(self) -> list[list[IntArray]]:
        """Triangles that close each loop of each wall, whatever lies in it."""
        return [[cap(wall.points, [loop]) for loop in wall.loops] for wall in self.walls]

    @cached_property
    def _closed(self) -> list[pv.PolyData]:
        """Each wall with caps over its openings, normals away from what it encloses."""
        meshes = []
        for wall, caps in zip(self.walls, self._caps, strict=True):
            triangles = np.concatenate([wall.triangles, *caps])
            mesh = mesh_of(wall.points, triangles)
            inwards = enclosed_volume(wall.points, wall.triangles, wall.loops) < 0
            meshes.append(mesh.flip_faces() if inwards else mesh)
        return meshes

    @cached_property
    def ends(self) -> tuple[Array, IntArray]:
        """Triangles (M, 3, 3) that close the outer wall, and the loop of each."""
        caps = self._caps[0]
        number = np.repeat(np.arange(len(caps)), [len(triangles) for triangles in caps])
        triangles = np.concatenate(caps) if caps else np.empty((0, 3), dtype=np.int64)
        return np.asarray(self.outer.points[triangles], dtype=np.float64), number

    @cached_property
    def outward(self) -> Array:
        """(K, 3): unit vectors out of the lumen through the loops of the outer wall."""
        points, loops = self.outer.points, self.outer.loops
        if self.axis is not None:
            directions = np.zeros((len(loops), 3))
            for direction, loop in zip(directions, loops, strict=True):
                height = points[loop, self.axis].mean() - points[:, self.axis].mean()
                direction[self.axis] = np.sign(height)
            return directions
        directions = np.array(
            [vector_areas(points, triangles).sum(axis=0) for triangles in self._caps[0]]
        ).reshape(-1, 3)
        return np.asarray(directions / np.linalg.norm(directions, axis=1, keepdims=True))

    @cached_property
    def rims(self) -> list[list[int]]:
        """For each loop of each wall, the loop of the outer wall at which it ends, -1 for none."""
        rims = [list(range(len(self.outer.loops)))]
        caps = [mesh_of(self.outer.points, triangles) for triangles in self._caps[0]]
        for wall in self.inner:
            ends_at = []
            for loop in wall.loops:
                middle = pv.PolyData(wall.points[loop].mean(axis=0))
                apart = [
                    abs(float(middle.compute_implicit_distance(mesh)["implicit_distance"][0]))
                    for mesh in caps
                ]
                ends_at.append(int(np.argmin(apart)) if apart else -1)
            rims.append(ends_at)
        return rims

    @cached_property
    def volume(self) -> float:
        """Volume between the walls."""
        outer, *inner = (float(mesh.volume) for mesh in self._closed)
        return outer - sum(inner)

    @cached_property
    def area(self) -> float:
        """Area of the walls."""
        return float(sum(np.linalg.norm(wall.areas, axis=1).sum() for wall in self.walls))

    @cached_property
    def radius(self) -> float:
        """Hydraulic radius 2 volume / area: the radius of a tube, the gap of an annulus.

        In a lumen that is no tube at most half of its least extent, which is less where most of
        the faces round it are open.
        """
        return min(2 * self.volume / self.area, self._most)

    @property
    def radius_name(self) -> str:
        """What `radius` is."""
        return "half least extent" if self.radius == self._most else "hydraulic radius"

    @property
    def _most(self) -> float:
        if self.axis is not None:
            return np.inf
        return float(np.ptp(self.outer.points, axis=0).min()) / 2

    @cached_property
    def reach(self) -> Array:
        """(K,): hydraulic radius of the lumen at each loop of the outer wall; of a tube as a whole.

        2 area / perimeter of the opening.
        """
        if self.axis is not None:
            return np.full(len(self.outer.loops), self.radius)
        areas, perimeters = np.zeros((2, len(self.outer.loops)))
        for wall, caps, rims in zip(self.walls, self._caps, self.rims, strict=True):
            for triangles, loop, rim in zip(caps, wall.loops, rims, strict=True):
                corners = wall.points[loop]
                area = vector_areas(wall.points, triangles).sum(axis=0) @ self.outward[rim]
                areas[rim] += area
                edges = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
                perimeters[rim] += edges.sum()
        return np.asarray(2 * areas / perimeters)

    @cached_property
    def _boundary(self) -> pv.PolyData:
        """Walls and openings as one closed surface, normals outwards."""
        parts: list[Surface | Opening] = [*self.walls, *self.openings]
        first, *others = (mesh_of(part.points, part.triangles) for part in parts)
        # Vertices of openings lie on those of the walls: joined, the sign of a distance is right.
        mesh: pv.PolyData = first.append_polydata(*others).clean(tolerance=1e-9)
        return mesh

    def distance_outside(self, points: Array) -> Array:
        """Signed distance to the boundary of the lumen, openings included, positive outside.

        An end of an inner wall belongs to no opening: who is inside it is as far outside the lumen
        as the inner wall is away.
        """
        cloud = pv.PolyData(points).compute_implicit_distance(self._boundary)
        return np.asarray(cloud["implicit_distance"])

    def distance_closed(self, points: Array) -> Array:
        """Signed distance to the walls, each closed by caps of its own, positive outside.

        Other than by `distance_outside`, the end of an inner wall is part of it: sources of the
        wall function beyond it keep as far from it as those within.
        """
        outer, *inner = (
            np.asarray(pv.PolyData(points).compute_implicit_distance(mesh)["implicit_distance"])
            for mesh in self._closed
        )
        for distance in inner:
            outer = np.maximum(outer, -distance)
        return outer

    @cached_property
    def openings(self) -> tuple[Opening, ...]:
        """The openings of the outer wall, without what inner walls take of them."""
        walls = self.walls
        points = np.concatenate([wall.points for wall in walls])
        starts = np.cumsum([0, *(len(wall.points) for wall in walls[:-1])])
        found: dict[str, list[IntArray]] = {}
        for number, name in enumerate(self.outer.names):
            loops = [
                start + loop
                for wall, start, rims in zip(walls, starts, self.rims, strict=True)
                for loop, rim in zip(wall.loops, rims, strict=True)
                if rim == number
            ]
            triangles = self._caps[0][number] if len(loops) == 1 else cap(points, loops)
            found.setdefault(name, []).append(triangles)
        return tuple(
            _opening(name, points, np.concatenate(triangles)) for name, triangles in found.items()
        )

    def scaled(self, origin: Array, unit: float) -> Enclosure:
        """The same in coordinates about `origin` (3,), in units of `unit`."""
        inner = tuple(wall.scaled(origin, unit) for wall in self.inner)
        return Enclosure(self.outer.scaled(origin, unit), inner, self.axis)

    def in_metres(self, metre: float) -> Enclosure:
        """The same in metres, from a unit of so many metres."""
        outer, *inner = (
            replace(wall, points=wall.points * metre, resolution=wall.resolution * metre)
            for wall in self.walls
        )
        return Enclosure(outer, tuple(inner), self.axis)

    @property
    def box(self) -> tuple[Array, float]:
        """Middle (3,) and diagonal of the box round the outer wall."""
        low, high = self.outer.points.min(axis=0), self.outer.points.max(axis=0)
        return (low + high) / 2, float(np.linalg.norm(high - low))

    def check_nested(self, outer: str, inner: Sequence[str]) -> None:
        """Check that inner walls lie in the outer one and end where it is open.

        Parameters
        ----------
        outer, inner
            What the walls are called.

        Raises
        ------
        UserError
            If they do not.
        """
        for number, (wall, name) in enumerate(zip(self.inner, inner, strict=True)):
            names = f"{name} in {outer}"
            if self.axis is not None:
                clear = self._check_ends(wall, self.axis, names)
            else:
                clear = self._check_rims(wall, self.rims[1 + number], names)
            distance = pv.PolyData(clear).compute_implicit_distance(self._closed[0])
            beyond = int(np.sum(np.asarray(distance["implicit_distance"]) >= 0))
            if beyond:
                raise UserError(
                    f"{names}: {beyond} of {len(wall.points)} vertices of the inner wall lie "
                    "outside the outer wall, expected the inner wall within the outer one"
                )

    def _check_ends(self, wall: Surface, axis: int, names: str) -> Array:
        """Check that both walls of a tube are as long; vertices (N, 3) clear of the ends."""
        off = ends_apart(self.outer, wall, axis)
        if off > TOGETHER:
            raise UserError(
                f"{names}: the ends of the walls are {100 * off:.0f} % of the length apart along "
                f"{'xyz'[axis]}, expected both walls to end together"
            )
        points = wall.points.copy()
        # The ends of the walls need not coincide exactly: only sideways counts here.
        low, high = heights_of_ends(self.outer, axis)
        margin = 0.02 * (high - low)
        points[:, axis] = points[:, axis].clip(low + margin, high - margin)
        return points

    def _check_rims(self, wall: Surface, rims: list[int], names: str) -> Array:
        """Check that a wall ends at openings only; vertices (N, 3) that are not near them."""
        clear = np.ones(len(wall.points), dtype=bool)
        corners, number = self.ends
        for loop, rim in zip(wall.loops, rims, strict=True):
            ends_there = False
            if rim >= 0:
                face = corners[number == rim]
                edges = face[:, 1:] - face[:, :1]
                area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1).sum() / 2
                size = np.sqrt(area)
                height = (wall.points - face.mean(axis=(0, 1))) @ self.outward[rim]
                ends_there = bool(np.abs(height[loop]).max() < _AT_OPENING * size)
                clear &= np.abs(height) > _NEAR * size
            if not ends_there:
                raise UserError(
                    f"{names}: the inner wall has an opening of {len(loop)} edges where the outer "
                    "wall has none, expected it to be closed, or to end at an opening"
                )
        return wall.points[clear]


def _opening(name: str, points: Array, triangles: IntArray) -> Opening:
    points, triangles = used_points(points, triangles)
    area = vector_areas(points, triangles).sum(axis=0)
    size = np.linalg.norm(area)
    # Zero where it faces all round.
    whole = np.linalg.norm(vector_areas(points, triangles), axis=1).sum()
    normal = area / size if size > 1e-6 * whole else np.zeros(3)
    return Opening(name, points, triangles, normal)
