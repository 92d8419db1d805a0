"""The surface of what is labelled in an image of voxels, such as a segmented vessel."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyvista as pv
from scipy import ndimage
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkIOImage import vtkNIFTIImageReader, vtkNrrdReader

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array

IMAGES = (".nii", ".nii.gz", ".nrrd")
# Taubin's smoothing (Taubin 1995) takes away the steps of voxels and keeps the volume: with these
# values what is left of a round tube's steps is a tenth of a voxel.
ITERATIONS, PASS_BAND = 30, 0.05


def image_surface(path: Path) -> tuple[pv.PolyData, float]:
    """The surface of the largest connected piece of non-zero voxels, and the size of a voxel.

    The surface is found by marching cubes and freed of the steps of the voxels. It is open where
    the labelled piece reaches the border of the image. It stands in the coordinates of the file's
    header, the longest edge of a voxel being its size.

    Raises
    ------
    UserError
        If the file is not an image of at least two voxels along each axis, or has no label.
    """
    image, place = _read_nrrd(path) if path.suffix.lower() == ".nrrd" else _read_nifti(path)
    scalars = image.GetPointData().GetScalars()
    shape = tuple(image.GetDimensions())[::-1]
    if scalars is None or scalars.GetNumberOfComponents() != 1 or min(shape) < 2:
        raise UserError(f"{path}: not a readable image of labels, expected one of three dimensions")
    labelled = np.asarray(pv.convert_array(scalars)).reshape(shape) != 0
    if not labelled.any():
        raise UserError(f"{path}: found no voxel with a label, expected the lumen to be labelled")
    pieces, _ = ndimage.label(labelled)
    largest = 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    grid = pv.ImageData(dimensions=shape[::-1])
    surface = grid.contour([0.5], scalars=(pieces == largest).astype(np.float64).ravel())
    surface = surface.smooth_taubin(n_iter=ITERATIONS, pass_band=PASS_BAND, boundary_smoothing=True)
    surface.clear_data()
    surface.points = surface.points.astype(np.float64) @ place[:3, :3].T + place[:3, 3]
    return surface, float(np.linalg.norm(place[:3, :3], axis=0).max())


def _read_nifti(path: Path) -> tuple[vtkImageData, Array]:
    """The image of a NIfTI file, and the matrix (4, 4) from voxel numbers to coordinates."""
    reader = vtkNIFTIImageReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    # The header's matrices count in lengths from the first voxel.
    found = reader.GetSFormMatrix() or reader.GetQFormMatrix()
    place = np.eye(4)
    if found is not None:
        place = np.array([[found.GetElement(i, j) for j in range(4)] for i in range(4)])
    return image, place @ np.diag([*image.GetSpacing(), 1.0])


def _read_nrrd(path: Path) -> tuple[vtkImageData, Array]:
    """The image of an NRRD file, and the matrix (4, 4) from voxel numbers to coordinates."""
    reader = vtkNrrdReader()
    reader.SetFileName(str(path))
    reader.Update()
    image = reader.GetOutput()
    place = np.diag([*image.GetSpacing(), 1.0])
    place[:3, 3] = image.GetOrigin()
    # VTK keeps the lengths of the voxels' edges and not their directions.
    header = path.read_bytes().split(b"\n\n", 1)[0].replace(b"\r", b"").decode(errors="replace")
    for line in header.splitlines():
        key, _, value = line.partition(":")
        if key == "space directions":
            vectors = re.findall(r"\(([^)]*)\)", value)
            place[:3, :3] = np.array([vector.split(",") for vector in vectors], dtype=float).T
    return image, place
