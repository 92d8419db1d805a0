"""A rough wall made smooth: its vertices moved onto the surface on which velocity vanishes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aiv_rba.files.case import WallFunction
from aiv_rba.files.formats import Array
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.walls import Surface

# Roughness, in hydraulic radii, from which a wall is smoothed. Walls without errors have less than
# half of it, where they have sharp edges.
ROUGH = 0.002
# Longest way of a vertex, in roughnesses. At sharp edges phi has no slope to go along.
FARTHEST = 4.0


def smoothed(enclosure: Enclosure, function: WallFunction) -> Enclosure:
    """The walls with their vertices on the surface phi = 0, or as they are if they are not rough.

    Stresses need normals and points of the surface on which no-slip holds, and up to there the
    equations hold. Vertices of a tube stay in their sections, and those round an opening in its
    plane, so that the ends stay flat.

    Parameters
    ----------
    enclosure
        The walls, nondimensional.
    function
        phi.
    """
    if function.roughness < ROUGH * enclosure.radius:
        return enclosure
    outer, *inner = (
        _smoothed(wall, enclosure.outward[rims], enclosure.axis, function)
        for wall, rims in zip(enclosure.walls, enclosure.rims, strict=True)
    )
    return replace(enclosure, outer=outer, inner=tuple(inner))


def _smoothed(wall: Surface, outward: Array, axis: int | None, function: WallFunction) -> Surface:
    slope = function.gradient(wall.points)
    if axis is not None:
        slope[:, axis] = 0
    else:
        for loop, normal in zip(wall.loops, outward, strict=True):
            slope[loop] -= np.outer(slope[loop] @ normal, normal)
    steepness = np.linalg.norm(slope, axis=1)
    # Newton's step along the slope.
    distance = -function(wall.points) / np.maximum(steepness, np.finfo(float).tiny)
    moved = np.abs(distance) < FARTHEST * function.roughness
    points = wall.points.copy()
    points[moved] += (distance / steepness)[moved, None] * slope[moved]
    return replace(wall, points=points)
