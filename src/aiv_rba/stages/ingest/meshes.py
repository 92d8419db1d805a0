"""Triangle meshes from files: surface meshes, and label images by their surface."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from vtkmodules.vtkCommonCore import vtkObject
from vtkmodules.vtkIOGeometry import vtkOBJReader, vtkSTLReader
from vtkmodules.vtkIOLegacy import vtkPolyDataReader
from vtkmodules.vtkIOPLY import vtkPLYReader
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.paths import check_file
from aiv_rba.stages.ingest.images import IMAGES, image_surface

_READERS: dict[str, Any] = {
    ".stl": vtkSTLReader,
    ".ply": vtkPLYReader,
    ".obj": vtkOBJReader,
    ".vtp": vtkXMLPolyDataReader,
    ".vtk": vtkPolyDataReader,
}
_MERGE = 1e-6  # vertices nearer than this share of the wall's diagonal are one vertex


@dataclass(frozen=True)
class Mesh:
    """Vertices, merged, and triangles of a file.

    Attributes
    ----------
    points
        (N, 3).
    triangles
        (M, 3): vertex numbers.
    notes
        What was dropped.
    resolution
        Size of the voxels of an image; 0 for a mesh.
    """

    points: Array
    triangles: IntArray
    notes: tuple[str, ...]
    resolution: float


def check_wall_file(path: Path) -> None:
    """Refuse what is no file of a wall, by its first bytes and its name.

    Raises
    ------
    UserError
        If it is not.
    """
    compressed = ["gzip"] if _is_image(path) else []
    check_file(path, "a triangulated wall or a label image", may_be=compressed)
    if not _is_image(path) and path.suffix.lower() not in _READERS:
        raise UserError(
            f"{path}: found extension {path.suffix!r}, expected one of "
            f"{', '.join((*_READERS, *IMAGES))}"
        )


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(IMAGES)


def load_mesh(path: Path) -> Mesh:
    """Read a surface mesh, or the surface of what is labelled in an image.

    Raises
    ------
    UserError
        If the file cannot be read or holds no three-dimensional surface.
    """
    check_wall_file(path)
    image = _is_image(path)
    # VTK's own complaints have many lines.
    loud = vtkObject.GetGlobalWarningDisplay()
    vtkObject.GlobalWarningDisplayOff()
    try:
        mesh, resolution = image_surface(path) if image else (_read(path), 0.0)
    finally:
        vtkObject.SetGlobalWarningDisplay(loud)
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
    notes = (f"{lost} degenerate triangles dropped",) if lost else ()
    return Mesh(points, triangles, notes, resolution)


def _read(path: Path) -> pv.PolyData:
    """The mesh of a file, empty if it cannot be read; not `pyvista.read`, which logs more."""
    reader = _READERS[path.suffix.lower()]()
    reader.SetFileName(str(path))
    reader.Update()
    return pv.PolyData(reader.GetOutput())


def _only(mesh: pv.PolyData) -> IntArray:
    """The triangles of a mesh in which some have collapsed to lines or points."""
    faces = [face for face in mesh.irregular_faces if len(set(face)) == 3]
    return np.array(faces, dtype=np.int64).reshape(-1, 3)
