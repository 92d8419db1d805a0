"""The space between the walls and the two ends: size, and what lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyvista as pv

from aiv_rba.errors import UserError
from aiv_rba.files.case import Opening
from aiv_rba.files.formats import Array
from aiv_rba.stages.ingest.walls import Surface, enclosed_volume


@dataclass(frozen=True)
class Enclosure:
    """What an outer wall and, round an annular lumen, an inner one enclose."""

    outer: Surface
    inner: Surface | None = None

    @property
    def walls(self) -> list[Surface]:
        """The outer wall, and the inner one if there is one."""
        return [self.outer] if self.inner is None else [self.outer, self.inner]

    @cached_property
    def _closed(self) -> list[pv.PolyData]:
        return [_closed(wall) for wall in self.walls]

    @property
    def ends(self) -> Array:
        """Triangles (M, 3, 3) that close the two ends of the outer wall."""
        mesh = self._closed[0]
        triangles = mesh.faces.reshape(-1, 4)[len(self.outer.triangles) :, 1:]
        return np.asarray(mesh.points[triangles], dtype=np.float64)

    @cached_property
    def volume(self) -> float:
        """Volume between the walls."""
        outer, *inner = (float(mesh.volume) for mesh in self._closed)
        return outer - sum(inner)

    @cached_property
    def area(self) -> float:
        """Area of the walls."""
        return float(sum(np.linalg.norm(wall.areas, axis=1).sum() for wall in self.walls))

    @property
    def radius(self) -> float:
        """Hydraulic radius 2 volume / area: the radius of a tube, the gap of an annulus."""
        return 2 * self.volume / self.area

    def distance_outside(self, points: Array) -> Array:
        """Signed distance to the boundary of the lumen, ends included, positive outside."""
        outer, *inner = (
            np.asarray(pv.PolyData(points).compute_implicit_distance(mesh)["implicit_distance"])
            for mesh in self._closed
        )
        for distance in inner:
            outer = np.maximum(outer, -distance)
        return outer

    @cached_property
    def openings(self) -> tuple[Opening, ...]:
        """The two ends of the outer wall."""
        openings = []
        lower, upper = (self.outer.points[loop].mean(axis=0) for loop in self.outer.loops)
        axis = int(np.argmax(np.abs(upper - lower)))
        corners = self.ends
        low = corners[:, :, axis].mean(axis=1) < (lower + upper)[axis] / 2
        for side, chosen in (("min", low), ("max", ~low)):
            faces = corners[chosen]
            areas = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0]).sum(axis=0)
            openings.append(
                Opening(
                    name=f"{'xyz'[axis]}_{side}",
                    points=faces.reshape(-1, 3),
                    triangles=np.arange(3 * len(faces)).reshape(-1, 3),
                    normal=areas / np.linalg.norm(areas),
                )
            )
        return tuple(openings)

    def check_nested(self, axis: int, names: str) -> None:
        """Check that the inner wall lies in the outer one and is as long.

        Raises
        ------
        UserError
            If it is not; `names` says which files.
        """
        if self.inner is None:
            return
        outer, inner = (
            np.array([wall.points[loop, axis].mean() for loop in wall.loops])
            for wall in (self.outer, self.inner)
        )
        length = outer[1] - outer[0]
        off = np.abs(inner - outer).max() / length
        if off > 0.05:
            raise UserError(
                f"{names}: the ends of the walls are {100 * off:.0f} % of the length apart along "
                f"{'xyz'[axis]}, expected both walls to end together"
            )
        points = self.inner.points.copy()
        # The ends of the walls need not coincide exactly: only sideways counts here.
        margin = 0.02 * length
        points[:, axis] = points[:, axis].clip(outer[0] + margin, outer[1] - margin)
        mesh = self._closed[0]
        distance = pv.PolyData(points).compute_implicit_distance(mesh)["implicit_distance"]
        beyond = int(np.sum(np.asarray(distance) >= 0))
        if beyond:
            raise UserError(
                f"{names}: {beyond} of {len(points)} vertices of the inner wall lie outside the "
                "outer wall, expected the inner wall within the outer one"
            )


def _closed(wall: Surface) -> pv.PolyData:
    """The wall with polygons over its ends, normals outwards.

    Polygons are cut into triangles by ear clipping, since sections may be kidney-shaped.
    """
    faces = [np.concatenate([[len(loop)], loop[::-1]]) for loop in wall.loops]
    corners = np.insert(wall.triangles, 0, 3, axis=1).ravel()
    mesh: pv.PolyData = pv.PolyData(
        wall.points, faces=np.concatenate([corners, *faces])
    ).triangulate()
    if enclosed_volume(wall.points, wall.triangles) < 0:
        mesh = mesh.flip_faces()
    return mesh
