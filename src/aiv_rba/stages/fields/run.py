"""Stage fields: VTK series and hydraulics of the trained flow."""

from __future__ import annotations

import numpy as np
import pyvista as pv

from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path, check_same_case
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.geometry import Lumen
from aiv_rba.problems.velocimetry.model import Model, load_model
from aiv_rba.settings import FieldsSettings
from aiv_rba.stages.fields.derived import at_time, sample
from aiv_rba.stages.fields.hydraulics import hydraulics
from aiv_rba.stages.fields.mesh import grid, volume_mesh
from aiv_rba.stages.fields.vtk import write, write_series
from aiv_rba.terminal import say


def fields(settings: FieldsSettings, results: Results) -> None:
    """Write volume.pvd, wall.pvd and hydraulics.csv; SI units.

    Pressure has zero mean over the points of the volume mesh at every time, since the equations
    know its gradient only.

    Raises
    ------
    UserError
        If a file is damaged or the model belongs to another case.
    """
    with recorded(results.record("fields"), "fields", [results.case, results.model]):
        _fields(settings, results)


def _fields(settings: FieldsSettings, results: Results) -> None:
    experiment, trained = read_case(results.case), load_model(results.model)
    check_same_case(results.model, trained.identity, experiment.identity)
    lumen = Lumen.from_wall(experiment.wall, experiment.axis)
    period = trained.scales.nondimensional_period
    times = np.arange(settings.times) / settings.times * period

    _write_meshes(settings, experiment, trained, lumen, times, results)
    table = hydraulics(trained.network, trained.scales, lumen, times, settings.sections)
    with atomic_path(results.hydraulics) as temporary:
        table.to_csv(temporary, index=False)
    say(f"fields: {settings.times} times in {results.fields}")


def _write_meshes(
    settings: FieldsSettings,
    case: Case,
    model: Model,
    lumen: Lumen,
    times: np.ndarray,
    results: Results,
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
            results.fields / volume_name,
            grid(points * scales.length + origin, prisms),
            {
                "velocity": inside.velocity,
                "pressure": inside.pressure - gauge,
                "vorticity": inside.vorticity,
                "shear_rate": inside.shear_rate,
            },
        )
        write(
            results.fields / wall_name,
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
    write_series(results.volume, volume_files)
    write_series(results.wall, wall_files)
