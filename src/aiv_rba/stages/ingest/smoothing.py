"""A rough wall made smooth: its vertices moved onto the surface on which velocity vanishes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from aiv_rba.files.case import WallFunction
from aiv_rba.stages.ingest.walls import Surface

# Roughness, in hydraulic radii, from which a wall is smoothed. Walls without errors have less than
# half of it, where they have sharp edges.
ROUGH = 0.002
# Longest way of a vertex, in roughnesses. At sharp edges phi has no slope to go along.
FARTHEST = 4.0


def smoothed(wall: Surface, function: WallFunction) -> Surface:
    """The wall with its vertices on the surface phi = 0, or as it is if it is not rough.

    Stresses need normals and points of the surface on which no-slip holds, and up to there the
    equations hold. Vertices stay in their sections, so that the ends stay flat.

    Parameters
    ----------
    wall
        A wall, nondimensional.
    function
        phi.
    """
    if function.roughness < ROUGH:
        return wall
    slope = function.gradient(wall.points)
    slope[:, function.axis] = 0
    steepness = np.linalg.norm(slope, axis=1)
    # Newton's step along the slope.
    distance = -function(wall.points) / np.maximum(steepness, np.finfo(float).tiny)
    farthest = FARTHEST * function.roughness * function.radius
    moved = np.abs(distance) < farthest
    points = wall.points.copy()
    points[moved] += (distance / steepness)[moved, None] * slope[moved]
    return replace(wall, points=points)
