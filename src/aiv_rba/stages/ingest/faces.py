"""The faces of a wall that may be openings: where it ends, and where it is flat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.stages.ingest.caps import cap
from aiv_rba.stages.ingest.walls import (
    Surface,
    enclosed_volume,
    near,
    open_edges,
    shared_edges,
)

# Triangles whose normals differ by less are in one flat face; by more, at a sharp edge.
_FLAT, _SHARP = np.cos(np.radians(1.0)), np.cos(np.radians(30.0))
# A flat face lies this close to a plane, over the square root of its area.
_PLANE = 1e-3
# A flat face has more than this share of the wall's hydraulic section.
_SECTION = 0.02
# The wall round a flat face at the end of a branch runs along its normal: largest cosine between
# the normals of both.
_ALONG = 0.7
# An opening is at most half as large as another flat face on which it borders, which is the side
# of a duct.
_SIDE = 0.5
# An opening is named after a side if its normal is this close to the axis, and if it lies within
# this share of the wall's extent of that side.
_TOWARDS, _AT = 0.9, 0.1
# A gap of fewer edges is a hole.
_HOLE = 8


@dataclass(frozen=True)
class Face:
    """A face of a wall that may be an opening.

    Attributes
    ----------
    loops
        Vertex numbers of the polygons that make it up, in the sense of the wall round them.
    triangles
        (K,): numbers of the triangles of the wall that lie on it.
    area
        Its area.
    centre, normal
        (3,): middle of its edge, and unit normal, out of the lumen; zero where it faces all round.
    open
        Whether it is an opening.
    name
        Its name.
    """

    loops: tuple[IntArray, ...]
    triangles: IntArray
    area: float
    centre: Array
    normal: Array
    open: bool
    name: str = ""


def find_faces(surface: Surface) -> list[Face]:
    """Faces of a wall with names: openings in it, and flat faces with sharp edges all round.

    A flat face is an opening if it looks like the end of a branch: the wall round it runs along its
    normal and bends towards it nowhere, and it borders only on flat faces that are much larger.
    """
    gaps = [
        polygon(surface.points, loop, np.empty(0, dtype=np.int64), is_open=True)
        for loop in surface.loops
    ]
    return named(surface.points, [*gaps, *_flat_faces(surface)])


def polygon(points: Array, loop: IntArray, triangles: IntArray, *, is_open: bool) -> Face:
    """The face within one loop."""
    corners = points[loop]
    centre = corners.mean(axis=0)
    # The wall runs round its opening against the sense that belongs to the outer normal.
    area = -np.cross(corners - centre, np.roll(corners, -1, axis=0) - centre).sum(axis=0) / 2
    size = float(np.linalg.norm(area))
    return Face((loop,), triangles, size, centre, area / size, is_open)


def named(points: Array, faces: Sequence[Face]) -> list[Face]:
    """The faces, each named after the side on which it lies where that is clear.

    The other openings are `opening_1`, ... and the other flat faces `face_1`, ... by size.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    sides: list[str | None] = []
    for face in faces:
        axis = int(np.argmax(np.abs(face.normal)))
        upper = face.normal[axis] > 0
        depth = (high - face.centre if upper else face.centre - low)[axis]
        clear = face.open and abs(face.normal[axis]) > _TOWARDS
        there = depth < _AT * (high - low)[axis]
        sides.append(f"{'xyz'[axis]}_{'max' if upper else 'min'}" if clear and there else None)
    result = []
    counts = {"opening": 0, "face": 0}
    for number in sorted(range(len(faces)), key=lambda number: -faces[number].area):
        name, kind = sides[number], "opening" if faces[number].open else "face"
        if name is None or sides.count(name) > 1:
            counts[kind] += 1
            name = f"{kind}_{counts[kind]}"
        result.append(replace(faces[number], name=name))
    return result


def chosen_faces(
    faces: Sequence[Face], boundaries: Mapping[str, str], source: str
) -> tuple[Face, ...]:
    """The faces, open or not as the user says.

    Raises
    ------
    UserError
        If the user names a face that is not there.
    """
    names = [face.name for face in faces]
    for name in boundaries:
        if name not in names:
            found = ", ".join(names) or "none"
            raise UserError(
                f"ingest.boundaries.{name}: found no such face of {source}, expected "
                f"one of its faces: {found}"
            )
    return tuple(
        replace(face, open=boundaries[face.name] == "open") if face.name in boundaries else face
        for face in faces
    )


def check_holes(
    surface: Surface, faces: Sequence[Face], boundaries: Mapping[str, str], source: str, unit: str
) -> None:
    """Check that no opening is so small that it is a hole in a torn mesh."""
    for face in faces:
        edges = sum(map(len, face.loops))
        if not len(face.triangles) and edges < _HOLE and face.name not in boundaries:
            raise UserError(
                f"{source}: a hole of {edges} edges {near(surface.points[face.loops[0]], unit)}, "
                f"expected openings of at least {_HOLE} edges: close it, or say in "
                f"ingest.boundaries that {face.name} is open or a wall"
            )


def opened(surface: Surface, faces: Sequence[Face]) -> Surface:
    """The wall without the faces that are open, and with those that are not."""
    wall = np.ones(len(surface.triangles), dtype=bool)
    added: list[IntArray] = []
    loops: list[IntArray] = []
    names: list[str] = []
    for face in faces:
        if face.open:
            wall[face.triangles] = False
            loops += face.loops
            names += [face.name] * len(face.loops)
        elif not len(face.triangles):
            added += [cap(surface.points, [loop]) for loop in face.loops]
    triangles = np.concatenate([surface.triangles[wall], *added])
    used = np.unique(np.concatenate([triangles.ravel(), *loops]))
    renumbered = np.zeros(len(surface.points), dtype=np.int64)
    renumbered[used] = np.arange(len(used))
    return replace(
        surface,
        points=surface.points[used],
        triangles=renumbered[triangles],
        loops=tuple(renumbered[loop] for loop in loops),
        names=tuple(names),
    )


def _flat_faces(surface: Surface) -> list[Face]:
    """Flat faces with sharp edges all round and one edge line."""
    points, triangles, areas = surface.points, surface.triangles, surface.areas
    sizes = np.linalg.norm(areas, axis=1)
    normals = areas / np.maximum(sizes, np.finfo(float).tiny)[:, None]
    shared, _ = shared_edges(triangles)
    first, second = (shared % len(triangles)).T
    cosine = np.sum(normals[first] * normals[second], axis=1)
    flat = cosine > _FLAT
    pairs = (first[flat], second[flat])
    graph = coo_array((np.ones(flat.sum()), pairs), shape=(len(triangles), len(triangles)))
    _, face = connected_components(graph, directed=False)
    radius = 2 * abs(enclosed_volume(points, triangles)) / sizes.sum()
    large = np.bincount(face, sizes) > _SECTION * np.pi * radius**2
    candidates: dict[int, tuple[Face, IntArray]] = {}
    for number in np.flatnonzero(large).tolist():
        mine = np.flatnonzero(face == number)
        loops = open_edges(triangles[mine])
        border = (face[first] == number) != (face[second] == number)
        round_it = np.where(face[first] == number, second, first)[border]
        if len(loops) != 1 or len(round_it) != len(loops[0]):
            continue
        found = polygon(points, loops[0][::-1], mine, is_open=True)
        turn = normals[round_it] @ found.normal
        allowed = _PLANE * np.sqrt(found.area)
        if turn.max() > _SHARP or np.abs(_heights(points[triangles[mine]], found)).max() > allowed:
            continue
        bends_back = _heights(points[triangles[round_it]], found).max() < allowed
        is_open = bool(bends_back and np.abs(turn).max() < _ALONG)
        candidates[number] = replace(found, open=is_open), face[round_it]
    return [
        replace(found, open=found.open and not _is_side(found, candidates, beside))
        for found, beside in candidates.values()
    ]


def _heights(points: Array, face: Face) -> Array:
    """Heights of points (..., 3) above the plane of a face."""
    return np.asarray((points - face.centre) @ face.normal)


def _is_side(face: Face, candidates: Mapping[int, tuple[Face, IntArray]], beside: IntArray) -> bool:
    """Whether a face is too large beside the flat faces on which it borders to be an end."""
    neighbours = [candidates[number][0] for number in set(beside.tolist()) if number in candidates]
    return any(face.area > _SIDE * neighbour.area for neighbour in neighbours)
