"""The script that opens the fields in ParaView."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jinja2

from aiv_rba.files.formats import atomic_path
from aiv_rba.stages.fields.vtk import UNITS

# A file named paraview.py would hide ParaView's own module from the script.
NAME = "open_in_paraview.py"


def write_script(folder: Path, axis: int) -> None:
    """Write the script beside volume.pvd and wall.pvd of a vessel along axis 0, 1 or 2."""
    template = resources.files("aiv_rba.stages.fields").joinpath(f"{NAME}.j2").read_text("utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = environment.from_string(template).render(
        axis=axis, folder=repr(str(folder.resolve())), units=UNITS
    )
    with atomic_path(folder / NAME) as temporary:
        temporary.write_text(text, encoding="utf-8")
