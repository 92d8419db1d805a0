"""VTK files: compressed, with units, and series with physical time."""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pyvista as pv
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter, vtkXMLUnstructuredGridWriter

from aiv_rba.errors import UserError
from aiv_rba.fields.flow import UNITS
from aiv_rba.files.formats import atomic_path


def write(path: Path, mesh: pv.DataSet) -> None:
    """Write a mesh (coordinates in m) in single precision; units go into the field data."""
    for name in list(mesh.point_data):
        mesh.point_data[name] = mesh.point_data[name].astype(np.float32)
        mesh.field_data[f"unit of {name}"] = [UNITS[name]]
    mesh.field_data["unit of coordinates"] = ["m"]
    kinds = {".vtu": vtkXMLUnstructuredGridWriter, ".vtp": vtkXMLPolyDataWriter}
    writer = kinds[path.suffix]()
    writer.SetDataModeToAppended()
    writer.EncodeAppendedDataOff()
    writer.SetCompressorTypeToZLib()
    writer.SetInputData(mesh)
    with atomic_path(path) as temporary:
        writer.SetFileName(str(temporary))
        if writer.Write() != 1:
            raise UserError(f"{path}: cannot be written: VTK reports an error")


def write_series(path: Path, files: dict[float, str]) -> None:
    """Write a .pvd collection of file names by physical time, s."""
    entries = "\n".join(
        f'    <DataSet timestep="{time:.9g}" part="0" file={quoteattr(name)}/>'
        for time, name in files.items()
    )
    text = (
        '<?xml version="1.0"?>\n<VTKFile type="Collection" version="0.1">\n  <Collection>\n'
        f"{entries}\n  </Collection>\n</VTKFile>\n"
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
