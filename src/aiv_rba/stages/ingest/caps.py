"""Triangles across the openings of a wall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyvista as pv
from vtkmodules.vtkFiltersGeneral import vtkContourTriangulator

from aiv_rba.files.formats import Array, IntArray
from aiv_rba.stages.ingest.walls import vector_areas


def cap(points: Array, loops: Sequence[IntArray]) -> IntArray:
    """Triangles (M, 3) of `points` within a loop and outside the others, which lie in it.

    Loops run as the wall round the opening does, the triangles the other way round, so that wall
    and triangles are wound alike.
    """
    if len(loops) == 1:
        polygon = np.insert(loops[0][::-1], 0, len(loops[0]))
        mesh = pv.PolyData(points, faces=polygon).triangulate()
        triangles = _triangles(mesh)
        # Ear clipping gives up on some loops, and on corners of an angle of 180 degrees.
        whole = len(triangles) == len(loops[0]) - 2
        if whole and np.linalg.norm(vector_areas(points, triangles), axis=1).min() > 0:
            return triangles
    # The contours must lie in a plane, about which VTK's are strict.
    corners = points[loops[0]]
    centred = corners - corners.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    normal /= np.linalg.norm(normal)
    flat = points - np.outer((points - corners.mean(axis=0)) @ normal, normal)
    edges = np.concatenate([np.stack([np.roll(loop, -1), loop], axis=1) for loop in loops])
    filter_ = vtkContourTriangulator()
    filter_.SetInputData(pv.PolyData(flat, lines=np.insert(edges, 0, 2, axis=1)))
    filter_.Update()
    return _triangles(pv.PolyData(filter_.GetOutput()))


def _triangles(mesh: pv.PolyData) -> IntArray:
    triangles: IntArray = mesh.faces.reshape(-1, 4)[:, 1:].astype(np.int64)
    return triangles
