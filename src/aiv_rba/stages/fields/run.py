"""Stage fields: VTK series and hydraulics of the trained flow."""

from __future__ import annotations

from aiv_rba.fields.flow import open_flow
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.settings import FieldsSettings
from aiv_rba.stages.fields.paraview import write_script
from aiv_rba.stages.fields.vtk import write, write_series
from aiv_rba.terminal import say

ENDINGS = {"volume": "vtu", "wall": "vtp"}


def fields(settings: FieldsSettings, results: Results) -> None:
    """Write volume.pvd, wall.pvd, a script that opens both in ParaView, and hydraulics.csv.

    Raises
    ------
    UserError
        If a file is damaged or the model belongs to another case.
    """
    inputs = [results.case, results.model, results.deviations]
    with recorded(results, "fields", inputs):
        flow = open_flow(results.folder, settings.layers, settings.device)
        times = flow.times(settings.times)
        series: dict[str, dict[float, str]] = {name: {} for name in ENDINGS}
        for number, (time, meshes) in enumerate(zip(times, flow.meshes(times), strict=True)):
            for mesh, (name, ending) in zip(meshes, ENDINGS.items(), strict=True):
                file = f"{name}_{number:04d}.{ending}"
                write(results.fields / file, mesh)
                series[name][time] = file
        write_series(results.volume, series["volume"])
        write_series(results.wall, series["wall"])
        write_script(results.paraview, flow.case.axis)
        with atomic_path(results.hydraulics) as temporary:
            flow.hydraulics(times, settings.sections).to_csv(temporary, index=False)
    say(f"fields: {len(times)} times in {results.fields}")
