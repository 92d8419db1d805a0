"""The walls that an experiment names, and whether they are a tube or a lumen of another shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyvista as pv

from aiv_rba.errors import UserError
from aiv_rba.scales import to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.caps import cap
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.faces import Face, check_holes, chosen_faces, find_faces, opened
from aiv_rba.stages.ingest.shapes import make_shape
from aiv_rba.stages.ingest.tubes import (
    TOGETHER,
    end_share,
    ends_apart,
    hidden_share,
    tube_along,
    why_not,
)
from aiv_rba.stages.ingest.walls import Surface, mesh_of, near, read_surfaces

# A tube has at most this share of its wall hidden from the centres of its sections: scattered
# vertices hide a little.
HIDDEN = 0.01
# A flat end of an inner wall lies this close to an opening, over the square root of its area.
AT_OPENING = 0.02


@dataclass(frozen=True)
class Walls:
    """The walls as they were read.

    Attributes
    ----------
    enclosure
        The walls and what they enclose, m.
    reason
        How the lumen is treated, and why.
    names
        What each wall is called.
    faces
        Faces of the outer wall that are or may be openings, in the unit of the wall; none of a
        tube.
    """

    enclosure: Enclosure
    reason: str
    names: tuple[str, ...]
    faces: tuple[Face, ...]


def read_walls(config: IngestSettings) -> Walls:
    """The walls that the experiment names, and how they are treated.

    Raises
    ------
    UserError
        At the first thing that is wrong with one of them.
    """
    unit = config.units.wall
    metre = to_si(unit, "[length]", "ingest.units.wall")
    faces: Sequence[Face] = ()
    inner: list[Surface] = []
    source = str(config.wall)
    if isinstance(config.wall, str):
        outer, *inner = read_surfaces(Path(config.wall), unit)
        _check_pieces(outer, inner, source, unit)
    else:
        outer, faces = make_shape(config.wall)
    names = [f"piece {2 + number} of {source}" for number in range(len(inner))]
    for file in config.inner_walls:
        found = read_surfaces(Path(file), unit, inner=True)
        inner += found
        names += [file] * len(found)

    if config.boundaries:
        faces = chosen_faces(faces or find_faces(outer), config.boundaries, source)
    tube, reason = _tube(config, outer, faces, inner, (source, *names))
    if tube is None:
        faces = faces or find_faces(outer)
        check_holes(outer, faces, config.boundaries, source, unit)
    enclosure = tube or _general(config, outer, faces, inner, source)
    middle, size = enclosure.box
    # VTK's tolerances suit lengths of order one.
    enclosure.scaled(middle, size).check_nested(source, names)
    listed = () if tube else tuple(faces)
    return Walls(enclosure.in_metres(metre), reason, (source, *names), listed)


def _check_pieces(outer: Surface, pieces: Sequence[Surface], source: str, unit: str) -> None:
    """Check that the smaller pieces of a wall may lie in the largest."""
    low, high = outer.points.min(axis=0), outer.points.max(axis=0)
    for piece in pieces:
        if np.any(piece.points < low) or np.any(piece.points > high):
            raise UserError(
                f"{source}: found {1 + len(pieces)} separate pieces, one "
                f"{near(piece.points, unit)} beyond the largest, expected one wall, and what lies "
                "in it"
            )


def _tube(
    config: IngestSettings,
    outer: Surface,
    faces: Sequence[Face],
    inner: Sequence[Surface],
    names: Sequence[str],
) -> tuple[Enclosure | None, str]:
    """The enclosure of a tube, or None where the lumen is no tube; and why.

    Parameters
    ----------
    config
        What the user says of the vessel.
    outer, inner
        The walls as they were read.
    faces
        The faces of the outer wall, where it is known which of them are open.
    names
        What the walls are called, the outer one first.
    """
    if config.vessel == "general":
        return None, "general, as given"
    if faces:
        outer = opened(outer, faces)
    longest = np.argsort(-np.ptp(outer.points, axis=0), kind="stable").tolist()
    tubes = {axis: tube_along(outer, axis, with_ends=not faces) for axis in longest}
    shares = {axis: end_share(tube, axis) for axis, tube in tubes.items() if tube is not None}
    # A facet of the side may look like an end too, but is small for one.
    along = [axis for axis, share in shares.items() if share > max(shares.values()) / 2]
    wanted = along[0] if along else longest[0]
    if config.axis != "auto":
        wanted = "xyz".index(config.axis)
        if along and wanted not in along:
            raise UserError(
                f"{names[0]}: axis is '{config.axis}', but the ends of the wall lie along "
                f"{'xyz'[along[0]]}, expected ingest.axis: {'xyz'[along[0]]}"
            )
    tube, tubes_within = tubes[wanted], [tube_along(wall, wanted) for wall in inner]
    within = [wall for wall in tubes_within if wall is not None]
    if config.vessel == "tube":
        for name, wall, found in zip(names, (outer, *inner), (tube, *tubes_within), strict=True):
            if found is None:
                raise UserError(f"{name}: {why_not(wall, wanted, config.units.wall)}")
        if len(inner) > 1:
            raise UserError(
                f"ingest.inner_wall: found {len(inner)} inner walls, expected at most one in a tube"
            )
    if tube is None:
        return None, "general, since it does not have just two openings that lie along x, y or z"
    enclosure = Enclosure(tube, tuple(within), wanted)
    name = f"tube along {'xyz'[wanted]}"
    if config.vessel == "tube":
        return enclosure, f"{name}, as given"
    if len(inner) > 1:
        return None, f"general, since it has {len(inner)} inner walls"
    # An inner wall that is open, but not where the outer one is, is a mistake and no body.
    closed = [wall for wall in inner if not wall.loops]
    if inner and not closed and not within:
        file = config.inner_walls[0] if config.inner_walls else config.wall
        raise UserError(f"{file}: {why_not(inner[0], wanted, config.units.wall)}")
    if closed and not (within and ends_apart(tube, within[0], wanted) <= TOGETHER):
        return None, "general, since there is a body in it"
    hidden = max(hidden_share(tube, wall, wanted) for wall in (tube, *within))
    if hidden > HIDDEN:
        return None, (
            f"general, since {100 * hidden:.0f} % of its wall cannot be seen from the centres of "
            f"sections across {'xyz'[wanted]}"
        )
    return enclosure, f"{name}, whose sections are seen whole from their centres"


def _general(
    config: IngestSettings,
    outer: Surface,
    faces: Sequence[Face],
    inner: Sequence[Surface],
    source: str,
) -> Enclosure:
    """The enclosure of a lumen of any shape."""
    if not any(face.open for face in faces) and config.vessel == "auto":
        found = ", ".join(face.name for face in faces)
        ending = f", or one of {found} to be open in ingest.boundaries" if found else ""
        raise UserError(
            f"{source}: the wall is closed, expected an opening or a flat end of a branch{ending}"
        )
    outer = opened(outer, faces)
    if not len(outer.triangles) and not inner:
        raise UserError(
            f"{source}: all its faces are open, expected a wall among ingest.boundaries, or a body "
            "as ingest.inner_wall"
        )
    caps = [mesh_of(outer.points, cap(outer.points, [loop])) for loop in outer.loops]
    return Enclosure(outer, tuple(_ended(wall, caps) for wall in inner))


def _ended(wall: Surface, caps: Sequence[pv.PolyData]) -> Surface:
    """An inner wall without the flat ends that lie on openings of the outer one."""
    closed = wall.inside_out()
    faces = []
    for face in find_faces(closed):
        corners = pv.PolyData(wall.points[np.concatenate(face.loops)])
        apart = [
            np.abs(corners.compute_implicit_distance(mesh)["implicit_distance"]).max()
            for mesh in caps
        ]
        at_end = bool(apart) and min(apart) < AT_OPENING * np.sqrt(face.area)
        faces.append(replace(face, open=at_end or not len(face.triangles)))
    return replace(opened(closed, faces).inside_out(), names=())
