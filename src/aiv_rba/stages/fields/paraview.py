"""The script that opens the fields in ParaView."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import jinja2

from aiv_rba.fields.flow import UNITS
from aiv_rba.files.formats import atomic_path

TEMPLATE = "open_in_paraview.py.j2"


def write_script(path: Path, axis: int) -> None:
    """Write the script beside volume.pvd and wall.pvd of a vessel along axis 0, 1 or 2."""
    template = resources.files("aiv_rba.stages.fields").joinpath(TEMPLATE).read_text("utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = environment.from_string(template).render(
        axis=axis, folder=repr(str(path.parent.resolve())), units=UNITS
    )
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
