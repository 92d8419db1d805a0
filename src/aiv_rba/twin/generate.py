"""Make an experiment with known truth: solve, sample, record, write."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba.terminal import say
from aiv_rba.twin.axes import Axes
from aiv_rba.twin.files import UNITS, write_experiment, write_tracks, write_wall
from aiv_rba.twin.options import Twin
from aiv_rba.twin.sampling import Interpolant
from aiv_rba.twin.solver import Solution, solve
from aiv_rba.twin.surface import given_walls
from aiv_rba.twin.tracers import Scene, record
from aiv_rba.twin.truth import inside_points, write_truth

# Length of duct beyond both open ends, in widths: the ends' flow profile dies out within one.
BUFFER = 3.0
# Tracers that are seen may come from, and go, beyond the measured ends; also in widths.
REACH = 1.25
NAMES = ("wall", "inner_wall")
SAVED = "solver.npz"


def generate(twin: Twin, out: Path, name: str | None = None) -> dict[str, float]:
    """Write tracks, wall, truth.h5 and experiment.yaml; returns the solver's figures.

    With the `name` of an experiment, experiment.yaml says the least that a user would. It is
    written last: a twin that has it is finished.

    Raises
    ------
    UserError
        If NGSolve is missing, the flow cannot be solved or a file cannot be written.
    """
    saved = out / SAVED
    solution = solve_twin(twin, saved)
    write(twin, solution, lookup(twin, solution), out, name)
    saved.unlink(missing_ok=True)
    return {**solution.report, **twin.numbers}


def solved_span(twin: Twin) -> tuple[float, float]:
    """Ends of the duct in which the flow is solved, along the vessel axis."""
    buffer = BUFFER * twin.duct.width if twin.ends == "open" else 0.0
    return -buffer, twin.duct.length + buffer


def solve_twin(twin: Twin, saved: Path | None = None) -> Solution:
    """The periodic flow of a twin; `saved` is a file from which an interrupted run goes on."""
    return solve(
        twin.duct,
        twin.flow_rate,
        reynolds=twin.scales.reynolds,
        period=twin.scales.nondimensional_period,
        span=solved_span(twin),
        discretisation=twin.discretisation,
        ends=twin.ends,
        saved=saved,
        progress=say,
    )


def lookup(twin: Twin, solution: Solution) -> Interpolant:
    """The velocity that tracers follow."""
    reach = REACH * twin.duct.width
    span = (-reach, twin.duct.length + reach)
    return Interpolant.sample(twin.duct, solution, span, twin.discretisation.lookup)


def write(twin: Twin, solution: Solution, field: Interpolant, out: Path, name: str | None) -> None:
    """Record tracers in the velocity field and write the files."""
    scales, duct, axes = twin.scales, twin.duct, Axes(twin.axis)
    rng = np.random.default_rng(twin.seed)
    surfaces = given_walls(duct, twin.wall, twin.radius, twin.seed + 3)
    for wall, surface in zip(NAMES, surfaces, strict=False):
        points = axes.vectors(surface.points) * scales.length / UNITS[twin.unit]
        write_wall(out / wall, points, axes.triangles(surface.triangles))

    scene = Scene(duct, field, scales.nondimensional_period, axes)
    table, true_rows = record(scene, twin.camera, twin.seed + 1)
    write_tracks(out / "tracks.csv", table, scales, twin.unit)
    truth = out / "truth.h5"
    write_truth(truth, twin, solution, inside_points(twin, rng), surfaces, true_rows)
    if name is not None:
        ingest = _ingest(twin, out, len(surfaces))
        write_experiment(out / "experiment.yaml", name, twin.unit, ingest, truth)


def _ingest(twin: Twin, out: Path, walls: int) -> dict[str, Any]:
    """What a user says who knows how well the wall was segmented."""
    error = float(np.hypot(twin.wall.error, twin.wall.scatter)) * twin.radius
    known = {"wall_error": error * twin.scales.length / UNITS[twin.unit]} if error else {}
    files = {wall: str(out / f"{wall}.stl") for wall in NAMES[:walls]}
    return {
        "tracks": str(out / "tracks.csv"),
        **files,
        **known,
        "axis": twin.axis,
        "fluid": asdict(twin.fluid),
        **({"flow": "steady"} if twin.flow == "steady" else {"period": twin.period}),
    }
