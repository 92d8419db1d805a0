"""Points that fill a region of any shape: one in each small cube of a lattice."""

from __future__ import annotations

import numpy as np

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Region
from aiv_rba.ranks.mpi import Processes
from aiv_rba.stages.points.groups import uniform

# Purposes of the random numbers that place a point in its cube, one for each coordinate.
JITTER = (8, 9, 10)


def fill(region: Region, spacing: float, seed: int, group: Processes) -> Array:
    """Points (N, 3) in the region, one for each of its cubes with edges `spacing`, on every rank.

    A point stands at random in its cube, so that every part of the region has points in proportion
    to its volume. The cubes come from halving larger ones. One that is farther from the boundary
    than its corners from its middle lies on one side as a whole, so that only the cubes along the
    boundary need distances of their own.
    """
    low, high = region.bounds
    levels = int(np.ceil(np.max(high - low) / spacing) - 1).bit_length()
    # Lower corners of the cubes, in edges of the smallest ones.
    undecided = np.zeros((1, 3), dtype=np.int64)
    inside = np.empty((0, 3), dtype=np.int64)
    for level in range(levels, 0, -1):
        half = 2 ** (level - 1)
        distance = group.shared(region.distance, low + spacing * (undecided + half))
        reach = np.sqrt(3) * half * spacing
        inside = _halved(np.concatenate([inside, undecided[distance < -reach]]), half)
        undecided = _halved(undecided[np.abs(distance) <= reach], half)
    cubes = np.concatenate([inside, undecided])
    number = cubes @ np.array([4**levels, 2**levels, 1])
    at = np.stack([uniform(seed, purpose, number) for purpose in JITTER], axis=1)
    points = low + spacing * (cubes + at)
    surely, perhaps = np.split(points, [len(inside)])
    return np.concatenate([surely, perhaps[group.shared(region.inside, perhaps)]])


def _halved(corners: IntArray, half: int) -> IntArray:
    """Lower corners of the eight cubes into which each cube is cut, by its corner and half edge."""
    return np.asarray(
        (corners[:, None] + half * np.indices((2, 2, 2)).reshape(3, -1).T).reshape(-1, 3)
    )
