"""Triangle meshes from files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from vtkmodules.vtkCommonCore import vtkObject
from vtkmodules.vtkIOGeometry import vtkSTLReader
from vtkmodules.vtkIOLegacy import vtkPolyDataReader
from vtkmodules.vtkIOPLY import vtkPLYReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.paths import check_file

_READERS: dict[str, Any] = {
    ".stl": vtkSTLReader,
    ".ply": vtkPLYReader,
    ".vtp": vtkXMLPolyDataReader,
    ".vtk": vtkPolyDataReader,
}
_MERGE = 1e-6  # vertices nearer than this share of the wall's diagonal are one vertex


def load_mesh(path: Path) -> tuple[Array, IntArray, list[str]]:
    """Vertices, merged, and triangles of a file, and notes on what was dropped.

    Raises
    ------
    UserError
        If the file cannot be read or holds no three-dimensional surface.
    """
    check_file(path, "a triangulated wall")
    if path.suffix.lower() not in _READERS:
        raise UserError(
            f"{path}: found extension {path.suffix!r}, expected one of {', '.join(_READERS)}"
        )
    mesh = _read(path)
    if mesh.n_cells == 0:
        raise UserError(
            f"{path}: not a readable {path.suffix} file of triangles, expected a triangulated wall"
        )
    if not np.isfinite(mesh.points).all():
        raise UserError(f"{path}: found a vertex that is not finite, expected numbers")
    mesh = mesh.triangulate()
    read = mesh.n_cells
    mesh = mesh.clean(tolerance=_MERGE)
    triangles = (
        mesh.faces.reshape(-1, 4)[:, 1:].astype(np.int64) if mesh.is_all_triangles else _only(mesh)
    )
    points = mesh.points.astype(np.float64)
    extent = np.ptp(points, axis=0) if len(points) else np.zeros(3)
    if len(triangles) < 6 or extent.min() <= 1e-6 * extent.max():
        raise UserError(
            f"{path}: found {len(triangles)} triangles of extent "
            f"{' x '.join(f'{size:.4g}' for size in extent)}, expected a three-dimensional wall"
        )
    lost = read - len(triangles)
    return points, triangles, [f"{lost} degenerate triangles dropped"] if lost else []


def _read(path: Path) -> pv.PolyData:
    """The mesh of a file, empty if it cannot be read.

    Not `pyvista.read`, which writes VTK's own many-lined complaints to the log.
    """
    loud = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOff()
    try:
        reader = _READERS[path.suffix.lower()]()
        reader.SetFileName(str(path))
        reader.Update()
        return pv.PolyData(reader.GetOutput())
    finally:
        vtkObject.SetGlobalWarningDisplay(loud)


def _only(mesh: pv.PolyData) -> IntArray:
    """The triangles of a mesh in which some have collapsed to lines or points."""
    faces = [face for face in mesh.irregular_faces if len(set(face)) == 3]
    return np.array(faces, dtype=np.int64).reshape(-1, 3)
