"""The flow of a twin in a file: solved once, and sampled as often as wanted."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from aiv_rba.files.formats import create_h5, open_h5
from aiv_rba.twin.generate import solve_twin, solved_span
from aiv_rba.twin.geometry import Array
from aiv_rba.twin.mesh import duct_mesh, ngsolve
from aiv_rba.twin.options import Twin
from aiv_rba.twin.sampling import ComplexArray
from aiv_rba.twin.solver import Solution, flow_space


def kept_solution(twin: Twin, path: Path) -> Solution:
    """The flow of a twin from a file, or solved and written there if it has no such flow.

    Tracers, camera, noise, given wall and truth points of the twin do not matter, nor its seed
    where its waveform is a listed one.

    Raises
    ------
    UserError
        If the file is damaged, NGSolve is missing, or the flow cannot be solved.
    """
    flow = _flow(twin)
    if path.is_file():
        with open_h5(path, "solution") as file:
            if file.attrs["flow"] == flow:
                return _read(twin, file["modes"][:], file["push"][:], str(file.attrs["report"]))
    solution = solve_twin(twin)
    attributes = {"flow": flow, "report": json.dumps(solution.report)}
    with create_h5(path, "solution", attributes) as file:
        file["modes"] = [[part.vec.FV().NumPy() for part in mode] for mode in solution.modes]
        file["push"] = solution.push
    return solution


def _flow(twin: Twin) -> str:
    """All that the solution depends on, as text."""
    chosen = {
        "duct": asdict(twin.duct),
        "wave": asdict(twin.pulse),
        "reynolds": twin.scales.reynolds,
        "period": twin.scales.nondimensional_period,
        "ends": twin.ends,
        "discretisation": asdict(twin.discretisation),
    }
    return json.dumps(chosen, sort_keys=True)


def _read(twin: Twin, modes: Array, push: ComplexArray, report: str) -> Solution:
    """The solution with the coefficients (K, 2, unknowns) of its finite elements."""
    span = solved_span(twin)
    mesh, displacement = duct_mesh(twin.duct, span, twin.discretisation, twin.ends)
    space = flow_space(mesh, twin.discretisation.order, twin.ends)
    fields = []
    for mode in modes:
        cosine, sine = (ngsolve().GridFunction(space) for _ in range(2))
        for part, values in zip((cosine, sine), mode, strict=True):
            part.vec.FV().NumPy()[:] = values
        fields.append((cosine, sine))
    wrap = span[1] - span[0] if twin.ends == "periodic" else None
    return Solution(mesh, displacement, fields, push, wrap, json.loads(report))
