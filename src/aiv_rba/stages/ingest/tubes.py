"""Walls that are tubes along a coordinate axis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.case import Wall
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen
from aiv_rba.stages.ingest.caps import cap
from aiv_rba.stages.ingest.walls import (
    Surface,
    enclosed_volume,
    near,
    open_edges,
    used_points,
    vector_areas,
)

_END = 1e-3  # a cap lies within this share of the wall's length of an end
TOGETHER = 0.05  # the ends of two walls are at most this share of the length apart
_SECTION = 0.05  # a cap has more than this share of the wall's mean section


def tube_along(surface: Surface, axis: int, *, with_ends: bool = True) -> Surface | None:
    """The wall as a tube along `axis`, open at its two ends; None if it is not one.

    Flat faces across the axis at the ends of the wall are the inlet and the outlet and are taken
    away, if it may come with such ends.
    """
    wall = np.ones(len(surface.triangles), dtype=bool)
    if with_ends:
        wall = _walls(surface.points, surface.triangles, axis)
    points, triangles = used_points(surface.points, surface.triangles[wall])
    loops = open_edges(triangles)
    if not _fits(points, loops, axis):
        return None
    notes = surface.notes
    if not wall.all():
        notes += (f"{np.sum(~wall)} triangles closed the ends; taken away as inlet and outlet",)
    lower, upper = sorted(loops, key=lambda loop: points[loop, axis].mean())
    return replace(
        surface,
        points=points,
        triangles=triangles,
        loops=(lower, upper),
        names=tuple(f"{'xyz'[axis]}_{side}" for side in ("min", "max")),
        notes=notes,
        goes_on=True,
    )


def end_share(tube: Surface, axis: int) -> float:
    """Area of the smaller end of a tube along `axis` over its mean section."""
    ends = [vector_areas(tube.points, cap(tube.points, [loop])).sum(axis=0) for loop in tube.loops]
    section = abs(enclosed_volume(tube.points, tube.triangles)) / np.ptp(tube.points[:, axis])
    return float(min(abs(end[axis]) for end in ends) / section)


def why_not(surface: Surface, axis: int, unit: str) -> str:
    """What is wrong with the openings of a wall that is not a tube along `axis`."""
    points = surface.points
    loops = open_edges(surface.triangles[_walls(points, surface.triangles, axis)])
    expected = f"expected two open or flat ends along {'xyz'[axis]}"
    if not loops:
        return f"the wall is closed, {expected}"
    if len(loops) == 1:
        return f"found one opening, {near(points[loops[0]], unit)}, {expected}"
    along = points[:, axis]
    depth = [
        min(along[loop].mean() - along.min(), along.max() - along[loop].mean()) for loop in loops
    ]
    hole = loops[int(np.argmax(depth))]
    return (
        f"open sideways: {len(loops)} openings, a hole of {len(hole)} edges "
        f"{near(points[hole], unit)}, {expected} only"
    )


def heights_of_ends(surface: Surface, axis: int) -> Array:
    """Axial coordinates (2,) of the ends of a tube along `axis`."""
    return np.array([surface.points[loop, axis].mean() for loop in surface.loops])


def ends_apart(outer: Surface, inner: Surface, axis: int) -> float:
    """How far the ends of two tubes along `axis` are apart at most, over the length of one."""
    ends, others = heights_of_ends(outer, axis), heights_of_ends(inner, axis)
    return float(np.abs(others - ends).max() / (ends[1] - ends[0]))


def hidden_share(outer: Surface, surface: Surface, axis: int) -> float:
    """Share of a wall's area that cannot be seen from the centre of its section.

    Angle about the centre line and axial coordinate are coordinates on a wall that is seen whole:
    all its triangles run round in these coordinates as they do on the wall.

    Parameters
    ----------
    outer
        The outer wall, a tube along `axis`, whose sections have the centres.
    surface
        It or an inner wall.
    axis
        Vessel axis: 0, 1 or 2.
    """
    sense = 1 if surface is outer else -1
    # VTK's tolerances suit lengths of order one.
    middle, size = outer.points.mean(axis=0), float(np.ptp(outer.points, axis=0).max())
    outer, surface = outer.scaled(middle, size), surface.scaled(middle, size)
    patch = np.zeros(len(outer.triangles), dtype=np.int64)
    try:
        lumen = Lumen.from_wall(Wall(outer.points, outer.normals, outer.triangles, patch), axis)
    except UserError:
        return 1.0
    angle, height, _ = lumen.polar(surface.points)
    corners = surface.triangles
    turns = np.angle(np.exp(1j * (angle[corners[:, 1:]] - angle[corners[:, :1]])))
    rises = height[corners[:, 1:]] - height[corners[:, :1]]
    run = sense * (turns[:, 0] * rises[:, 1] - turns[:, 1] * rises[:, 0])
    areas = np.linalg.norm(surface.areas, axis=1)
    # A face across the axis has no angle or height to run in.
    return float(areas[run < -1e-9].sum() / areas.sum())


def _walls(points: Array, triangles: IntArray, axis: int) -> NDArray[np.bool_]:
    """Say which triangles are wall: not flat across the axis at an end."""
    along = points[:, axis]
    length = np.ptp(along)
    areas = vector_areas(points, triangles)
    across = np.abs(areas[:, axis]) > 0.9 * np.linalg.norm(areas, axis=1)
    corners = along[triangles]
    section = abs(enclosed_volume(points, triangles)) / length
    wall = np.ones(len(triangles), dtype=bool)
    for at_end in (corners < along.min() + _END * length, corners > along.max() - _END * length):
        cap = across & at_end.all(axis=1)
        if np.abs(areas[cap, axis]).sum() > _SECTION * section:
            wall[cap] = False
    return wall


def _fits(points: Array, loops: list[IntArray], axis: int) -> bool:
    """Whether the wall is open at its two ends along `axis` and nowhere else."""
    if len(loops) != 2:
        return False
    first, second = (points[loop].mean(axis=0) for loop in loops)
    apart = np.abs(second - first)
    return bool(np.argmax(apart) == axis and apart[axis] > np.ptp(points[:, axis]) / 2)
