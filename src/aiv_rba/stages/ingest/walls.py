"""Vessel walls: read, checked, wound consistently, opened at both ends."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.scales import to_si
from aiv_rba.stages.ingest.meshes import load_mesh

_END = 1e-3  # a cap lies within this share of the wall's length of an end
_SECTION = 0.05  # a cap has more than this share of the wall's mean section


@dataclass(frozen=True)
class Surface:
    """A tube-like wall, open at its two ends.

    Attributes
    ----------
    points
        (N, 3).
    triangles
        (M, 3): vertex numbers, counter-clockwise seen from outside the lumen.
    loops
        Vertex numbers of the open edge at the lower and at the upper end, in cyclic order.
    notes
        What was repaired, for the summary.
    """

    points: Array
    triangles: IntArray
    loops: tuple[IntArray, IntArray]
    notes: tuple[str, ...] = ()

    @property
    def areas(self) -> Array:
        """(M, 3): vector areas of the triangles, along the outer normals."""
        return _areas(self.points, self.triangles)

    @property
    def normals(self) -> Array:
        """(N, 3): unit normals of the vertices, out of the lumen, weighted by area."""
        normals = np.zeros_like(self.points)
        for corner in self.triangles.T:
            np.add.at(normals, corner, self.areas)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
        return normals


def read_wall(path: Path, unit: str, axis: int, *, inner: bool = False) -> Surface:
    """Read a wall and check that it is a tube along the vessel axis; SI units.

    Vertices are merged, since STL repeats them. Flat faces across the axis at the ends of the
    wall are the inlet and the outlet and are taken away. Triangles are wound consistently, with
    normals out of the lumen: away from the axis, towards it for an inner wall.

    Parameters
    ----------
    path
        STL, PLY, VTP or VTK file.
    unit
        Unit of its coordinates.
    axis
        Vessel axis: 0, 1 or 2.
    inner
        Whether it is the inner wall of an annular lumen.

    Raises
    ------
    UserError
        If the wall cannot be read, is empty, torn, pierced, in pieces, or along another axis.
    """
    metre = to_si(unit, "[length]", "ingest.units.wall")
    points, triangles, notes = load_mesh(path)
    problem = _Problem(path, points, unit)
    turned = _wind(triangles, problem)
    triangles = np.where(turned[:, None], triangles[:, ::-1], triangles)

    wall = _open(points, triangles, axis)
    others = [other for other in range(3) if other != axis]
    if not _fits(points, triangles[wall], axis):
        for other in others:
            if _fits(points, triangles[_open(points, triangles, other)], other):
                raise problem.error(
                    f"axis is '{'xyz'[axis]}', but the ends of the wall lie along "
                    f"{'xyz'[other]}, expected ingest.axis: {'xyz'[other]}"
                )
        raise _holes(points, triangles[wall], axis, problem)
    if not wall.all():
        notes.append(f"{np.sum(~wall)} triangles closed the ends; taken away as inlet and outlet")
    triangles, turned = triangles[wall], turned[wall]

    if enclosed_volume(points, triangles) < 0:
        triangles, turned = triangles[:, ::-1], ~turned
    against = int(min(turned.sum(), (~turned).sum()))
    if against:
        notes.append(f"{against} of {len(turned)} triangles were wound against the others; turned")
    if turned.sum() > against and not inner:
        notes.append("normals pointed into the lumen; turned outwards")
    if inner:
        triangles = triangles[:, ::-1]
    used, triangles = np.unique(triangles, return_inverse=True)
    triangles = triangles.reshape(-1, 3)
    points = points[used] * metre
    lower, upper = sorted(_loops(triangles), key=lambda loop: points[loop, axis].mean())
    return Surface(points, triangles, (lower, upper), tuple(notes))


@dataclass(frozen=True)
class _Problem:
    """Makes errors that say where in the wall they are, in the unit of the file."""

    path: Path
    points: Array
    unit: str

    def error(self, what: str) -> UserError:
        return UserError(f"{self.path}: {what}")

    def near(self, vertices: IntArray) -> str:
        x, y, z = self.points[vertices].mean(axis=0)
        return f"near ({x:.4g}, {y:.4g}, {z:.4g}) {self.unit}"


def _areas(points: Array, triangles: IntArray) -> Array:
    a, b, c = points[triangles].transpose(1, 0, 2)
    areas: Array = np.cross(b - a, c - a) / 2
    return areas


def _directed_edges(triangles: IntArray) -> IntArray:
    """(3 M, 2): edges of all triangles in the sense of their winding."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def _wind(triangles: IntArray, problem: _Problem) -> NDArray[np.bool_]:
    """Say which triangles to turn so that all are wound alike.

    Two triangles wound alike run along their common edge in opposite senses.
    """
    count = len(triangles)
    edges = _directed_edges(triangles)
    face = np.tile(np.arange(count), 3)
    forward = edges[:, 0] < edges[:, 1]
    _, number, uses = np.unique(
        np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    if uses.max() > 2:
        torn = edges[uses[number] > 2][0]
        raise problem.error(
            f"non-manifold: {uses.max()} triangles share an edge {problem.near(torn)}, "
            "expected at most two"
        )
    order = np.argsort(number, kind="stable")
    shared = order[uses[number[order]] == 2].reshape(-1, 2)
    a, b = face[shared].T
    clash = forward[shared[:, 0]] == forward[shared[:, 1]]
    graph = coo_array((1 + clash, (a, b)), shape=(count, count)).tocsr()
    graph = graph.maximum(graph.T)
    pieces, piece = connected_components(graph, directed=False)
    if pieces > 1:
        small = triangles[piece == np.argmin(np.bincount(piece))].ravel()
        raise problem.error(
            f"found {pieces} separate pieces, one {problem.near(small)}, expected one wall"
        )
    visited, parent = breadth_first_order(graph, 0, directed=False)
    turned = np.zeros(count, dtype=bool)
    differs = np.asarray(graph[parent[visited[1:]], visited[1:]]).ravel() == 2
    for child, change in zip(visited[1:], differs, strict=True):
        turned[child] = turned[parent[child]] ^ change
    if np.any(turned[a] ^ turned[b] ^ clash):
        raise problem.error("the wall has only one side (Moebius), expected an inside and outside")
    return turned


def _open(points: Array, triangles: IntArray, axis: int) -> NDArray[np.bool_]:
    """Say which triangles are wall: not flat across the axis at an end."""
    along = points[:, axis]
    length = np.ptp(along)
    areas = _areas(points, triangles)
    across = np.abs(areas[:, axis]) > 0.9 * np.linalg.norm(areas, axis=1)
    corners = along[triangles]
    section = abs(enclosed_volume(points, triangles)) / length
    wall = np.ones(len(triangles), dtype=bool)
    for near in (corners < along.min() + _END * length, corners > along.max() - _END * length):
        cap = across & near.all(axis=1)
        if np.abs(areas[cap, axis]).sum() > _SECTION * section:
            wall[cap] = False
    return wall


def _loops(triangles: IntArray) -> list[IntArray]:
    """Closed chains of the edges that belong to one triangle, in the sense of its winding.

    Where chains touch in a vertex, it is arbitrary which edges belong to which.
    """
    edges = _directed_edges(triangles)
    limit = edges.max() + 1 if len(edges) else 1
    key, reverse = edges @ [limit, 1], edges @ [1, limit]
    following: dict[int, list[int]] = {}
    for start, end in edges[~np.isin(key, reverse)].tolist():
        following.setdefault(start, []).append(end)
    loops = []
    while following:
        first = vertex = next(iter(following))
        loop = []
        while vertex in following:
            loop.append(vertex)
            ends = following[vertex]
            after = ends.pop()
            if not ends:
                del following[vertex]
            vertex = after
            if vertex == first:
                break
        loops.append(np.array(loop))
    return loops


def _fits(points: Array, triangles: IntArray, axis: int) -> bool:
    """Whether the wall is open at its two ends along `axis` and nowhere else."""
    loops = _loops(triangles)
    if len(loops) != 2:
        return False
    first, second = (points[loop].mean(axis=0) for loop in loops)
    apart = np.abs(second - first)
    return bool(np.argmax(apart) == axis and apart[axis] > np.ptp(points[:, axis]) / 2)


def _holes(points: Array, triangles: IntArray, axis: int, problem: _Problem) -> UserError:
    """What is wrong with the openings of a wall that does not fit."""
    loops = _loops(triangles)
    expected = f"expected two open or flat ends along {'xyz'[axis]}"
    if not loops:
        return problem.error(f"the wall is closed, {expected}")
    if len(loops) == 1:
        return problem.error(f"found one opening, {problem.near(loops[0])}, {expected}")
    along = points[:, axis]
    depth = [
        min(along[loop].mean() - along.min(), along.max() - along[loop].mean()) for loop in loops
    ]
    hole = loops[int(np.argmax(depth))]
    return problem.error(
        f"open sideways: {len(loops)} openings, a hole of {len(hole)} edges {problem.near(hole)}, "
        f"{expected} only"
    )


def enclosed_volume(points: Array, triangles: IntArray) -> float:
    """Signed volume of a wall whose ends are closed by fans; positive if wound away from it."""
    centred = points - points.mean(axis=0)
    fans = [
        np.stack([np.roll(loop, -1), loop, np.full_like(loop, len(points) + number)], axis=1)
        for number, loop in enumerate(_loops(triangles))
    ]
    centres = np.array([centred[fan[:, 1]].mean(axis=0) for fan in fans]).reshape(-1, 3)
    corners = np.concatenate([centred, centres])[np.concatenate([triangles, *fans])]
    a, b, c = corners.transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
