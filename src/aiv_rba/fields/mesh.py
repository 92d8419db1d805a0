"""Prism mesh of the lumen from shrunk copies of the wall: no mesher is needed."""

from __future__ import annotations

import numpy as np
import pyvista as pv
from vtkmodules.vtkCommonDataModel import VTK_WEDGE

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.geometry import Lumen

# The innermost layer of a single lumen is a thin thread round the centre line.
INMOST = 1e-3


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
