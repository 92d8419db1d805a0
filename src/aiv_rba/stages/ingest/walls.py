"""Walls as triangulated surfaces: read, checked, wound consistently out of the lumen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyvista as pv
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.stages.ingest.meshes import load_mesh


@dataclass(frozen=True)
class Surface:
    """A wall, and the edges of its openings.

    Attributes
    ----------
    points
        (N, 3).
    triangles
        (M, 3): vertex numbers, counter-clockwise seen from outside the lumen.
    loops
        Vertex numbers of the edge of each opening, in cyclic order, in the sense in which the
        triangles run along it; of a tube first that of the lower and then of the upper end.
    names
        Name of the opening of each loop; empty for an inner wall.
    notes
        What was repaired, for the summary.
    goes_on
        Whether the vessel goes on beyond the openings, where the given wall is cut off.
    resolution
        Size of the voxels of the image from which it was made; 0 for a mesh.
    """

    points: Array
    triangles: IntArray
    loops: tuple[IntArray, ...]
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    goes_on: bool = True
    resolution: float = 0.0

    @property
    def areas(self) -> Array:
        """(M, 3): vector areas of the triangles, along the outer normals."""
        return vector_areas(self.points, self.triangles)

    @property
    def normals(self) -> Array:
        """(N, 3): unit normals of the vertices, out of the lumen, weighted by area.

        Zero where a vertex lies on openings only.
        """
        normals = np.zeros_like(self.points)
        for corner in self.triangles.T:
            np.add.at(normals, corner, self.areas)
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        normals /= np.where(lengths == 0, 1.0, lengths)
        return normals

    def scaled(self, origin: Array, unit: float) -> Surface:
        """The wall in coordinates about `origin` (3,), in units of `unit`."""
        return replace(
            self, points=(self.points - origin) / unit, resolution=self.resolution / unit
        )

    def inside_out(self) -> Surface:
        """The wall wound the other way round."""
        loops = tuple(loop[::-1] for loop in self.loops)
        return replace(self, triangles=self.triangles[:, ::-1], loops=loops)


def read_surfaces(path: Path, unit: str, *, inner: bool = False) -> list[Surface]:
    """Read the connected pieces of a wall, the largest first, in the unit of the file.

    Vertices are merged, since STL repeats them. The triangles of each piece are wound consistently,
    with normals out of the lumen: out of what an outer wall encloses, into what an inner wall or
    the surface of a body encloses. All pieces but the largest of an outer wall are inner walls.

    Parameters
    ----------
    path
        Surface mesh or label image.
    unit
        Unit of its coordinates, for messages.
    inner
        Whether it is an inner wall.

    Raises
    ------
    UserError
        If the wall cannot be read, is empty, torn, or has only one side.
    """
    mesh = load_mesh(path)
    triangles = mesh.triangles
    turned, piece = _wind(mesh.points, triangles, path, unit)
    triangles = np.where(turned[:, None], triangles[:, ::-1], triangles)
    extent = [
        np.linalg.norm(np.ptp(mesh.points[triangles[piece == number]], axis=(0, 1)))
        for number in range(piece.max() + 1)
    ]
    surfaces: list[Surface] = []
    for number in np.argsort(extent)[::-1]:
        here = piece == number
        chosen, changed = triangles[here], turned[here]
        outer = not (inner or surfaces)
        notes = [] if surfaces else list(mesh.notes)
        if enclosed_volume(mesh.points, chosen) < 0:
            chosen, changed = chosen[:, ::-1], ~changed
        against = int(min(changed.sum(), (~changed).sum()))
        if against:
            notes.append(
                f"{against} of {len(changed)} triangles were wound against the others; turned"
            )
        if changed.sum() > against and outer:
            notes.append("normals pointed into the lumen; turned outwards")
        points, chosen = used_points(mesh.points, chosen if outer else chosen[:, ::-1])
        loops = tuple(open_edges(chosen))
        surfaces.append(
            Surface(points, chosen, loops, notes=tuple(notes), resolution=mesh.resolution)
        )
    return surfaces


def used_points(points: Array, triangles: IntArray) -> tuple[Array, IntArray]:
    """The points that triangles use, and the triangles with their new numbers."""
    used, renumbered = np.unique(triangles, return_inverse=True)
    return points[used], renumbered.reshape(-1, 3)


def mesh_of(points: Array, triangles: IntArray) -> pv.PolyData:
    """Triangles (M, 3) of points (N, 3) as a mesh of VTK."""
    return pv.PolyData(points, np.insert(triangles, 0, 3, axis=1))


def near(points: Array, unit: str) -> str:
    """Where points (N, 3) are, in words."""
    x, y, z = points.mean(axis=0)
    return f"near ({x:.4g}, {y:.4g}, {z:.4g}) {unit}"


def vector_areas(points: Array, triangles: IntArray) -> Array:
    """(M, 3): vector areas of triangles (M, 3)."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    areas: Array = np.cross(b - a, c - a) / 2
    return areas


def directed_edges(triangles: IntArray) -> IntArray:
    """(3 M, 2): edges of all triangles in the sense of their winding."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def shared_edges(triangles: IntArray) -> tuple[IntArray, IntArray]:
    """Pairs (E, 2) of directed edges, by number, that are the same edge; and the uses of each edge.

    An edge of more than two triangles is in no pair.
    """
    edges = directed_edges(triangles)
    _, number, uses = np.unique(
        np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(number, kind="stable")
    return order[uses[number[order]] == 2].reshape(-1, 2), uses[number]


def _wind(
    points: Array, triangles: IntArray, path: Path, unit: str
) -> tuple[NDArray[np.bool_], IntArray]:
    """Say which triangles to turn so that all of a piece are wound alike, and the piece of each.

    Two triangles wound alike run along their common edge in opposite senses.
    """
    count = len(triangles)
    edges = directed_edges(triangles)
    face = np.tile(np.arange(count), 3)
    forward = edges[:, 0] < edges[:, 1]
    shared, uses = shared_edges(triangles)
    if uses.max() > 2:
        torn = edges[uses > 2][0]
        raise UserError(
            f"{path}: non-manifold: {uses.max()} triangles share an edge "
            f"{near(points[torn], unit)}, expected at most two"
        )
    a, b = face[shared].T
    clash = forward[shared[:, 0]] == forward[shared[:, 1]]
    graph = coo_array((1 + clash, (a, b)), shape=(count, count)).tocsr()
    graph = graph.maximum(graph.T)
    pieces, piece = connected_components(graph, directed=False)
    turned = np.zeros(count, dtype=bool)
    for number in range(pieces):
        first = int(np.argmax(piece == number))
        visited, parent = breadth_first_order(graph, first, directed=False)
        differs = np.asarray(graph[parent[visited[1:]], visited[1:]]).ravel() == 2
        for child, change in zip(visited[1:], differs, strict=True):
            turned[child] = turned[parent[child]] ^ change
    if np.any(turned[a] ^ turned[b] ^ clash):
        raise UserError(
            f"{path}: the wall has only one side (Moebius), expected an inside and outside"
        )
    return turned, piece.astype(np.int64)


def open_edges(triangles: IntArray) -> list[IntArray]:
    """Closed chains of the edges that belong to one triangle, in the sense of its winding.

    Where chains touch in a vertex, it is arbitrary which edges belong to which.
    """
    edges = directed_edges(triangles)
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


def enclosed_volume(
    points: Array, triangles: IntArray, loops: Iterable[IntArray] | None = None
) -> float:
    """Signed volume of a wall whose openings are closed by fans; positive if wound away from it.

    Parameters
    ----------
    points
        (N, 3).
    triangles
        (M, 3).
    loops
        Edges of the openings; those of the triangles if they are left out.
    """
    centred = points - points.mean(axis=0)
    loops = open_edges(triangles) if loops is None else loops
    fans = [
        np.stack([np.roll(loop, -1), loop, np.full_like(loop, len(points) + number)], axis=1)
        for number, loop in enumerate(loops)
    ]
    centres = np.array([centred[fan[:, 1]].mean(axis=0) for fan in fans]).reshape(-1, 3)
    corners = np.concatenate([centred, centres])[np.concatenate([triangles, *fans])]
    a, b, c = corners.transpose(1, 0, 2)
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6)
