"""Candidate positions in space, from which the training groups take their points."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from aiv_rba.files.case import Wall
from aiv_rba.files.formats import Array, IntArray

# Wall samples of a patch from which interior points are made.
SAMPLES_PER_PATCH = 8
# Points or copies that are made at a time: what they need beside the slab itself stays small.
BLOCK = 2**16


class Cells(Protocol):
    """Candidate positions of spatial cells, from which their groups take their points."""

    counts: IntArray
    """(cells,) candidates of each cell."""

    def positions(self, cells: IntArray, numbers: IntArray) -> Array:
        """Positions (n, b, 3) of candidates of cells (n,), by their numbers (n, b) below counts."""
        ...


class ListedCells:
    """Cells whose candidates are listed.

    Parameters
    ----------
    candidates
        (N, 3) positions.
    members
        Numbers of the candidates of each cell.
    """

    def __init__(self, candidates: Array, members: list[IntArray]) -> None:
        self.candidates = candidates
        self.counts = np.array([len(m) for m in members])
        self._members = np.concatenate(members)
        self._first = np.cumsum(self.counts) - self.counts

    def positions(self, cells: IntArray, numbers: IntArray) -> Array:
        """Positions (n, b, 3)."""
        return np.asarray(self.candidates[self._members[self._first[cells, None] + numbers]])


def sample_wall(wall: Wall, count: int, seed: int, patch: int | None = None) -> tuple[Array, Array]:
    """Points (count, 3) spread uniformly over the wall's area, and unit normals of their triangles.

    A user's triangles may differ in size by orders; their vertices would cluster.

    Parameters
    ----------
    wall
        The wall.
    count
        How many points.
    seed
        Seed of the random numbers.
    patch
        The one patch of the wall to sample; none for all.
    """
    corners = _corners(wall, patch)
    edge_1, edge_2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    normal = np.cross(edge_1, edge_2)
    area = np.linalg.norm(normal, axis=1)
    rng = np.random.default_rng(seed)
    # Stratified: one point in every `count`-th of the area, in the order of the triangles. Evenly
    # spaced points would fall into step with the rows of a structured mesh.
    at = (np.arange(count) + rng.uniform(size=count)) / count * area.sum()
    chosen = np.minimum(np.searchsorted(np.cumsum(area), at), len(area) - 1)
    a, b = rng.uniform(size=(2, count))
    flip = a + b > 1
    a[flip], b[flip] = 1 - a[flip], 1 - b[flip]
    points = corners[chosen, 0] + a[:, None] * edge_1[chosen] + b[:, None] * edge_2[chosen]
    return np.asarray(points), normal[chosen] / area[chosen, None]


def wall_area(wall: Wall, patch: int | None = None) -> float:
    """Area of the wall, or of one patch of it."""
    a, b, c = np.moveaxis(_corners(wall, patch), 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _corners(wall: Wall, patch: int | None) -> Array:
    triangles = wall.triangles if patch is None else wall.triangles[wall.patch == patch]
    return np.asarray(wall.points[triangles])
