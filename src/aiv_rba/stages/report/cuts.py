"""Cuts of a vessel of any shape by the coordinate planes through its middle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyvista as pv

from aiv_rba.fields.mesh import clipped
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Region
from aiv_rba.scales import Scales

# About so many points make a cut.
POINTS = 2_000
# Cells of a first, coarse cut for each hydraulic radius.
COARSE = 4


@dataclass(frozen=True)
class Cut:
    """The part of a coordinate plane that lies in a vessel.

    Attributes
    ----------
    normal
        The coordinate axis across which it lies.
    points
        (P, 3), m.
    triangles
        (M, 3): point numbers.
    rim
        (E, 2): point numbers of the edges at its rim.
    """

    normal: int
    points: Array
    triangles: IntArray
    rim: IntArray

    @property
    def place(self) -> float:
        """Where it is along its normal, m."""
        return float(self.points[0, self.normal])


def cuts(region: Region, scales: Scales) -> list[Cut]:
    """The cuts by the three coordinate planes through the middle of a region."""
    found = []
    for normal in range(3):
        coarse = _plane(region, normal, region.radius / COARSE)
        if not coarse.n_cells:
            continue
        mesh = _plane(region, normal, float(np.sqrt(coarse.area / POINTS)))
        points = np.asarray(mesh.points, dtype=float) * scales.length + np.array(scales.origin)
        triangles = np.asarray(mesh.cells, dtype=np.int64).reshape(-1, 4)[:, 1:]
        found.append(Cut(normal, points, triangles, rim_of(triangles)))
    return found


def rim_of(triangles: IntArray) -> IntArray:
    """Edges (E, 2) that only one of the triangles (M, 3) has."""
    edges = np.sort(triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    found, count = np.unique(edges, axis=0, return_counts=True)
    return np.asarray(found[count == 1])


def _plane(region: Region, normal: int, spacing: float) -> pv.UnstructuredGrid:
    """Triangles of a plane across an axis, about as large as the spacing."""
    low, high = region.bounds
    cells = np.ceil((high - low) / spacing).astype(int)
    steps = (high - low) / cells
    start = low - steps / 2
    dimensions = cells + 2
    start[normal], dimensions[normal] = (low[normal] + high[normal]) / 2, 1
    box = pv.ImageData(dimensions=dimensions, spacing=steps, origin=start)
    mesh: pv.UnstructuredGrid = clipped(region, box).triangulate()
    return mesh
