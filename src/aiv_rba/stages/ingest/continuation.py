"""The vessel continued beyond its openings: the wall is cut off there, and the flow goes on."""

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


def continued(enclosure: Enclosure) -> Enclosure:
    """Walls with a straight piece at each opening, along the slope that they have there.

    The walls of a region whose openings are faces of a box or a cylinder stay as they are.
    """
    if not enclosure.outer.goes_on:
        return enclosure
    outer, *inner = (
        _continued(wall, enclosure.outward[rims], enclosure.reach[rims])
        for wall, rims in zip(enclosure.walls, enclosure.rims, strict=True)
    )
    return replace(enclosure, outer=outer, inner=tuple(inner))


def _continued(wall: Surface, outward: Array, reach: Array) -> Surface:
    """One wall, continued by rings of new vertices at its loops.

    Parameters
    ----------
    wall
        The wall.
    outward, reach
        (K, 3) and (K,): direction at each loop, and radius of the lumen there.
    """
    normals = wall.normals
    points, triangles, loops = wall.points, wall.triangles, []
    for loop, along, radius in zip(wall.loops, outward, reach, strict=True):
        rim = wall.points[loop]
        direction = along + _slope(wall.points, normals, loop, along, AVERAGED * radius)
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
    return replace(wall, points=points, triangles=triangles, loops=tuple(loops))


def _slope(points: Array, normals: Array, loop: IntArray, along: Array, distance: float) -> Array:
    """How the rim moves across a direction per length along it, (N, 3), from averaged normals.

    Vertices `points` and their `normals` are (V, 3); `loop` (N,) are the numbers of the rim's and
    `along` (3,) is the direction.
    """
    averaged = np.empty((len(loop), 3))
    near = KDTree(points).query_ball_point(points[loop], distance)
    for i, numbers in enumerate(near):
        around = normals[numbers]
        # Not those of the other side of a sharp tip.
        averaged[i] = around[around @ normals[loop[i]] > 0.5].sum(axis=0)
    averaged /= np.linalg.norm(averaged, axis=1, keepdims=True)
    inclined = averaged @ along
    averaged -= inclined[:, None] * along
    # Round a hole in a flat wall it has no slope.
    across = np.maximum(1 - inclined**2, np.finfo(float).tiny)
    slope = -averaged * (inclined / across)[:, None]
    steepness = np.linalg.norm(slope, axis=1, keepdims=True)
    return np.asarray(slope * np.minimum(1, STEEPEST / np.maximum(steepness, STEEPEST / 2)))
