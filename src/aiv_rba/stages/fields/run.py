"""Stage fields: VTK series and hydraulics of the trained flow."""

from __future__ import annotations

import json
import time as clock
from pathlib import Path

import numpy as np
import pyvista as pv

from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path, check_same_case
from aiv_rba.geometry import Lumen
from aiv_rba.problems.velocimetry.model import Model, load_model
from aiv_rba.settings import FieldsSettings
from aiv_rba.stages.fields.derived import at_time, sample
from aiv_rba.stages.fields.hydraulics import hydraulics
from aiv_rba.stages.fields.mesh import grid, volume_mesh
from aiv_rba.stages.fields.paraview import write_script
from aiv_rba.stages.fields.vtk import write, write_series


def fields(settings: FieldsSettings, *, case: Path, model: Path, out: Path) -> None:
    """Write the fields into `out`; SI units.

    These are volume.pvd and wall.pvd, a script that opens both in ParaView, hydraulics.csv and
    fields.json.

    Pressure has zero mean over the points of the volume mesh at every time, since the equations
    know its gradient only.

    Raises
    ------
    UserError
        If a file is damaged or the model belongs to another case.
    """
    started = clock.perf_counter()
    experiment, trained = read_case(case), load_model(model)
    check_same_case(model, trained.identity, experiment.identity)
    lumen = Lumen.from_wall(experiment.wall, experiment.axis)
    period = trained.scales.nondimensional_period
    times = np.arange(settings.times) / settings.times * period

    _write_meshes(settings, experiment, trained, lumen, times, out)
    write_script(out, experiment.axis)
    table = hydraulics(trained.network, trained.scales, lumen, times, settings.sections)
    with atomic_path(out / "hydraulics.csv") as temporary:
        table.to_csv(temporary, index=False)
    with atomic_path(out / "fields.json") as temporary:
        temporary.write_text(
            json.dumps(
                {
                    "case": experiment.identity,
                    "seconds": clock.perf_counter() - started,
                    "training": trained.metadata,
                },
                indent=2,
            )
        )


def _write_meshes(
    settings: FieldsSettings,
    case: Case,
    model: Model,
    lumen: Lumen,
    times: np.ndarray,
    out: Path,
) -> None:
    scales, wall = model.scales, case.wall
    origin = np.array(scales.origin)
    points, prisms = volume_mesh(lumen, settings.layers)
    triangles = np.insert(wall.triangles, 0, 3, axis=1)
    volume_files, wall_files = {}, {}
    for number, time in enumerate(times):
        inside = sample(model.network, scales, at_time(points, time))
        on_wall = sample(model.network, scales, at_time(wall.points, time))
        gauge = inside.pressure.mean()
        volume_name, wall_name = f"volume_{number:04d}.vtu", f"wall_{number:04d}.vtp"
        write(
            out / volume_name,
            grid(points * scales.length + origin, prisms),
            {
                "velocity": inside.velocity,
                "pressure": inside.pressure - gauge,
                "vorticity": inside.vorticity,
                "shear_rate": inside.shear_rate,
            },
        )
        write(
            out / wall_name,
            pv.PolyData(wall.points * scales.length + origin, triangles),
            {
                "wall_shear_stress": on_wall.wall_shear_stress(wall.normals, scales.viscosity),
                "wall_shear_stress_magnitude": scales.viscosity * on_wall.shear_rate,
                "pressure": on_wall.pressure - gauge,
                "vorticity": on_wall.vorticity,
                "normal": wall.normals,
            },
        )
        volume_files[time * scales.time] = volume_name
        wall_files[time * scales.time] = wall_name
    write_series(out / "volume.pvd", volume_files)
    write_series(out / "wall.pvd", wall_files)
