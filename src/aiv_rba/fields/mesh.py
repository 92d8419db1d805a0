"""Meshes of the lumen, for which no mesher is needed.

A tube is filled with prisms between shrunk copies of its wall, any other region with the cells of
a regular grid, cut at its boundary.
"""

from __future__ import annotations

import numpy as np
import pyvista as pv
from scipy.ndimage import label
from scipy.spatial import KDTree
from vtkmodules.vtkCommonDataModel import VTK_WEDGE

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen, Region, nearest_on

# The innermost layer of a single lumen is a thin thread round the centre line.
INMOST = 1e-3


def mesh_of(lumen: Lumen | Region, layers: int) -> pv.UnstructuredGrid:
    """Mesh of a lumen with about `layers` cells from its middle to its wall, nondimensional."""
    if isinstance(lumen, Region):
        return clipped_mesh(lumen, lumen.radius / layers)
    return grid(*volume_mesh(lumen, layers))


def volume_mesh(lumen: Lumen, layers: int) -> tuple[Array, IntArray]:
    """Points (N, 3) and prisms (M, 6) between `layers` + 1 copies of the outer wall.

    Layers are closer together near the wall, where the shear is.
    """
    outer = lumen.outer
    number = np.cumsum(outer) - 1
    triangles = number[lumen.wall.triangles[lumen.wall.patch == 0]]
    inmost = 0.0 if lumen.annular else INMOST
    fractions = np.sin(np.pi / 2 * np.linspace(0, 1, layers + 1)) * (1 - inmost) + inmost
    copies = lumen.shrink(lumen.wall.points[outer], fractions)
    per_layer = copies.shape[1]
    prisms = [
        np.hstack([triangles + k * per_layer, triangles + (k + 1) * per_layer])
        for k in range(layers)
    ]
    return copies.reshape(-1, 3), np.concatenate(prisms)


def grid(points: Array, prisms: IntArray) -> pv.UnstructuredGrid:
    """VTK grid of the prisms."""
    return pv.UnstructuredGrid({VTK_WEDGE: prisms}, points)


def clipped_mesh(region: Region, spacing: float) -> pv.UnstructuredGrid:
    """Cells of a regular grid, those at the boundary cut where the signed distance to it is zero.

    The vertices that the cuts make are moved onto the boundary. The point array ``on_boundary``
    says which they are.
    """
    low, high = region.bounds
    cells = np.ceil((high - low) / spacing).astype(int)
    steps = (high - low) / cells
    # Half a cell beyond, so that faces across the coordinate axes do not fall on grid points.
    box = pv.ImageData(dimensions=cells + 2, spacing=steps, origin=low - steps / 2)
    cut = clipped(region, box)
    points = np.array(cut.points, dtype=float)
    new = np.abs(cut["distance"]) < 1e-9 * spacing
    points[new] = nearest_on(region.boundary, points[new])
    mesh = pv.UnstructuredGrid(cut.cells, cut.celltypes, points)
    mesh.point_data["on_boundary"] = new
    return mesh


def clipped(region: Region, box: pv.ImageData) -> pv.UnstructuredGrid:
    """The part of a regular grid, or of a plane one, that lies in a region.

    The point array ``distance`` is zero at the vertices that the cuts make.
    """
    box.point_data["distance"] = _signed_distances(region, box)
    mesh: pv.UnstructuredGrid = box.clip_scalar(scalars="distance", value=0.0, invert=True)
    return mesh


def _signed_distances(region: Region, box: pv.ImageData) -> Array:
    """Signed distances (N,) of grid points, exact at the corners of all cells that are cut.

    Further away only the sign is right. It is the same in each connected part of the grid that
    the boundary does not come near, so that one distance settles it.
    """
    points = np.asarray(box.points)
    widest = max(box.spacing)
    # No point of the boundary is further from these than their distance over the root of three.
    known = region.boundary.subdivide_adaptive(max_edge_len=widest)
    reach = float(np.linalg.norm(box.spacing)) + widest / np.sqrt(3)
    away, _ = KDTree(known.points).query(points, distance_upper_bound=reach)
    near = np.isfinite(away)
    distances = np.empty(len(points))
    distances[near] = region.distance(points[near])
    # Points are numbered from x to z.
    parts, count = label(~near.reshape(box.dimensions, order="F"))
    parts = parts.ravel(order="F")
    _, first = np.unique(parts, return_index=True)
    sides = np.zeros(count + 1)
    sides[parts[first]] = np.sign(region.distance(points[first]))
    distances[~near] = sides[parts[~near]] * reach
    return distances
