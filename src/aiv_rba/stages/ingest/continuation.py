"""The vessel continued beyond its ends, where the given wall is cut off but the flow continues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.stages.ingest.enclosure import Enclosure
from aiv_rba.stages.ingest.walls import Surface

# Hydraulic radii by which the vessel is continued. Flow that depends on how the continued vessel
# ends decays faster than exp(-3.8 s / radius), as in a tube.
LENGTH = 1.0
# Distance over which normals are averaged for the slope at the ends, and distance of the rings of
# new vertices, in hydraulic radii.
AVERAGED, RING = 0.3, 0.1
# Steepest slope with which a wall is continued.
STEEPEST = 0.5


def continued(enclosure: Enclosure, axis: int) -> Enclosure:
    """Walls with a straight piece at both ends, along the slope that they have there.

    Parameters
    ----------
    enclosure
        The walls.
    axis
        Vessel axis: 0, 1 or 2.
    """
    return Enclosure(*(_continued(wall, axis, enclosure.radius) for wall in enclosure.walls))


def _continued(wall: Surface, axis: int, radius: float) -> Surface:
    """One wall, continued by rings of new vertices at both ends."""
    normals = wall.normals
    middle = wall.points[:, axis].mean()
    points, triangles, loops = wall.points, wall.triangles, []
    for loop in wall.loops:
        rim = wall.points[loop]
        direction = _slope(wall.points, normals, loop, axis, AVERAGED * radius)
        direction[:, axis] = 1.0
        direction *= np.sign(rim[:, axis].mean() - middle)
        rings = int(np.ceil(LENGTH / RING))
        before = loop
        for ring in range(1, rings + 1):
            new = rim + direction * (LENGTH * radius * ring / rings)
            after = len(points) + np.arange(len(loop))
            points = np.concatenate([points, new])
            # A neighbour's edge runs the other way.
            a, b, c, d = before, np.roll(before, -1), after, np.roll(after, -1)
            strip = [np.stack([b, a, c], axis=1), np.stack([b, c, d], axis=1)]
            triangles = np.concatenate([triangles, *strip])
            before = after
        loops.append(before)
    return replace(wall, points=points, triangles=triangles, loops=(loops[0], loops[1]))


def _slope(points: Array, normals: Array, loop: IntArray, axis: int, distance: float) -> Array:
    """How the rim moves across the axis per length along it, (N, 3), from averaged normals.

    Vertices `points` and their `normals` are (V, 3); `loop` (N,) are the numbers of the rim's.
    """
    averaged = np.empty((len(loop), 3))
    near = KDTree(points).query_ball_point(points[loop], distance)
    for i, numbers in enumerate(near):
        around = normals[numbers]
        # Not those of the other side of a sharp tip.
        averaged[i] = around[around @ normals[loop[i]] > 0.5].sum(axis=0)
    averaged /= np.linalg.norm(averaged, axis=1, keepdims=True)
    along = averaged[:, axis].copy()
    averaged[:, axis] = 0
    slope = -averaged * (along / (1 - along**2))[:, None]
    steepness = np.linalg.norm(slope, axis=1, keepdims=True)
    return np.asarray(slope * np.minimum(1, STEEPEST / np.maximum(steepness, STEEPEST / 2)))
