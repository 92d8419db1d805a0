"""Make an experiment with known truth: solve, sample, record, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyvista as pv
import yaml

from aiv_rba.files.formats import atomic_path
from aiv_rba.terminal import say
from aiv_rba.twin.axes import Axes
from aiv_rba.twin.options import UNITS, Twin
from aiv_rba.twin.sampling import Interpolant
from aiv_rba.twin.solver import Solution, solve
from aiv_rba.twin.surface import GivenSurface, given_walls
from aiv_rba.twin.tracers import Scene, record
from aiv_rba.twin.truth import inside_points, write_truth

# Length of duct beyond both open ends, in widths: the ends' flow profile dies out within one.
BUFFER = 3.0
# Tracers that are seen may come from, and go, beyond the measured ends; also in widths.
REACH = 1.25
NAMES = ("wall", "inner_wall")


def generate(twin: Twin, out: Path, name: str | None = None) -> dict[str, float]:
    """Write tracks, wall and, last, truth.h5; returns the solver's figures.

    With the `name` of an experiment, experiment.yaml says the least that a user would.

    Raises
    ------
    UserError
        If NGSolve is missing, the flow cannot be solved or a file cannot be written.
    """
    solution = solve_twin(twin)
    write(twin, solution, out, name)
    return {**solution.report, **twin.numbers}


def solve_twin(twin: Twin) -> Solution:
    """The periodic flow of a twin."""
    buffer = BUFFER * twin.duct.width if twin.ends == "open" else 0.0
    return solve(
        twin.duct,
        twin.flow_rate,
        reynolds=twin.scales.reynolds,
        period=twin.scales.nondimensional_period,
        span=(-buffer, twin.duct.length + buffer),
        discretisation=twin.discretisation,
        ends=twin.ends,
        progress=say,
    )


def write(twin: Twin, solution: Solution, out: Path, name: str | None) -> None:
    """Sample the solution and write the files."""
    scales, duct, axes = twin.scales, twin.duct, Axes(twin.axis)
    rng = np.random.default_rng(twin.seed)
    surfaces = given_walls(duct, twin.wall, twin.radius, twin.seed + 3)
    for wall, surface in zip(NAMES, surfaces, strict=False):
        _write_wall(out / wall, surface, axes, scales.length / UNITS[twin.unit])

    reach = REACH * duct.width
    field = Interpolant.sample(
        duct, solution, (-reach, duct.length + reach), twin.discretisation.lookup
    )
    scene = Scene(duct, field, scales.nondimensional_period, axes)
    table, true_rows = record(scene, twin.camera, twin.seed + 1)
    _write_tracks(out / "tracks.csv", twin, table)

    if name is not None:
        with atomic_path(out / "experiment.yaml") as temporary:
            experiment = _experiment(twin, out, name, len(surfaces))
            temporary.write_text(yaml.safe_dump(experiment, sort_keys=False))
    write_truth(out / "truth.h5", twin, solution, inside_points(twin, rng), surfaces, true_rows)


def _write_wall(path: Path, surface: GivenSurface, axes: Axes, unit: float) -> None:
    triangles = np.insert(axes.triangles(surface.triangles), 0, 3, axis=1)
    mesh = pv.PolyData(axes.vectors(surface.points) * unit, triangles)
    for suffix in (".stl", ".vtp"):
        with atomic_path(path.with_suffix(suffix)) as temporary:
            # The writer goes by the ending, which the temporary name lacks.
            named = temporary.with_suffix(suffix)
            mesh.save(named)
            named.replace(temporary)


def _write_tracks(path: Path, twin: Twin, table: pd.DataFrame) -> None:
    unit = twin.scales.length / UNITS[twin.unit]
    speed = twin.scales.velocity / UNITS[twin.unit]
    table["t"] *= twin.scales.time
    table[["x", "y", "z_plane"]] *= unit
    velocities = [name for name in "uvw" if name in table]
    table[velocities] *= speed
    decimals = 3 if twin.unit == "um" else 6
    formats = {"t": "{:.6f}"} | dict.fromkeys(("x", "y", "z_plane"), f"{{:.{decimals}f}}")
    text = table.assign(**{name: table[name].map(f.format) for name, f in formats.items()})
    with atomic_path(path) as temporary:
        text.to_csv(temporary, index=False, float_format=f"%.{decimals}f")


def _experiment(twin: Twin, out: Path, name: str, walls: int) -> dict[str, Any]:
    """The least that a user would write, who knows how well the wall was segmented."""
    error = float(np.hypot(twin.wall.error, twin.wall.scatter)) * twin.radius
    known = {"wall_error": error * twin.scales.length / UNITS[twin.unit]} if error else {}
    files = {wall: str(out / f"{wall}.stl") for wall in NAMES[:walls]}
    return {
        "name": name,
        "ingest": {
            "tracks": str(out / "tracks.csv"),
            **files,
            **known,
            "axis": twin.axis,
            "units": {"length": twin.unit, "velocity": f"{twin.unit}/s", "wall": twin.unit},
            "fluid": {"density": twin.fluid.density, "viscosity": twin.fluid.viscosity},
            "period": twin.period,
        },
        "score": {"truth": str(out / "truth.h5")},
    }
