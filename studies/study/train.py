"""Train one run of the study, with its errors against the truth along the way in its history.

The errors steer nothing: they are computed at the rows of the history, after the steps. The
multipliers of the last step are kept too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba.fields.derived import Sample, sample_series
from aiv_rba.fields.hydraulics import cross_sections, flow_rates, heights
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import Array, atomic_path
from aiv_rba.files.results import Results
from aiv_rba.files.truth import open_truth
from aiv_rba.geometry import Lumen, nearest_on, surface_of
from aiv_rba.harmonics import fourier
from aiv_rba.jets import Order
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.settings import load_stage
from aiv_rba.stages.train.run import train
from aiv_rba.statistics import relative_l2
from aiv_rba.training.loop import Run

# Points of the truth in the lumen and on the wall, drawn at random, phases of the cycle, and
# sections of the flow rate at which a row of the history looks. These are few, since the seconds of
# a training include that.
POINTS, WALL_POINTS, PHASES, SECTIONS = 500, 250, 4, 5
# The multipliers of the last step, in the folder of the run.
FINAL = "last_multipliers.npz"


def truth_errors(truth: Path, case: Case) -> Callable[[Run], None]:
    """A function that adds errors against the truth to the last row of a history."""
    scales, lumen = case.scales, Lumen.from_wall(case.wall, case.axis)
    phases = scales.shares(PHASES)
    times = phases * scales.nondimensional_period
    rng = np.random.default_rng(0)
    with open_truth(truth) as file:
        positions, on_wall = (
            (file[f"{group}/position"][:] - np.array(scales.origin)) / scales.length
            for group in ("points", "wall")
        )
        inside = rng.permutation(np.flatnonzero(lumen.inside(positions)))[:POINTS]
        beside = rng.permutation(len(on_wall))[:WALL_POINTS]
        positions, on_wall = positions[inside], on_wall[beside]
        normals = file["wall/normal"][:][beside]
        modes = {
            "velocity": file["points/velocity"][:][:, inside],
            "pressure": file["points/pressure"][:][:, inside],
            "wss": file["wall/wall_shear_stress"][:][:, beside],
            "flow_rate": file["flow_rate"][:],
        }
    true = {name: np.array([fourier(m, phase) for phase in phases]) for name, m in modes.items()}
    true["w"] = true["velocity"][..., 2]
    true["pressure"] -= true["pressure"].mean(axis=1, keepdims=True)
    # As in the score, stress beyond the given wall is that at its nearest point.
    beyond = lumen.distance(on_wall) > 0
    on_wall[beyond] = nearest_on(surface_of(case.wall), on_wall[beyond])
    sections = cross_sections(lumen, heights(lumen, SECTIONS))
    across = sections.points.reshape(-1, 3)

    def add(run: Run) -> None:
        network = run.problem.residuals.network
        assert isinstance(network, FlowNetwork)
        # Training may be in single precision.
        flow = deepcopy(network).double()

        def at(places: Array, order: Order) -> list[Sample]:
            return list(sample_series(flow, scales, places, times, order))

        velocity, pressure = _fields(at(positions, 0))
        rates, _ = flow_rates(*_fields(at(across, 0)), scales, lumen, sections)
        stress = [one.wall_shear_stress(normals, scales.viscosity) for one in at(on_wall, 1)]
        found = {
            "velocity": velocity,
            "w": velocity[..., 2],
            "pressure": pressure - pressure.mean(axis=1, keepdims=True),
            "wss": np.array(stress),
            "flow_rate": rates.mean(axis=1),
        }
        run.history.rows[-1] |= {
            f"truth_{name}": relative_l2(values, true[name]) for name, values in found.items()
        }

    return add


def _fields(samples: Sequence[Sample]) -> tuple[Array, Array]:
    """Velocity (T, N, 3) and pressure (T, N) of samples at each time."""
    return np.array([one.velocity for one in samples]), np.array([one.pressure for one in samples])


def keep_multipliers(run: Run, path: Path) -> None:
    """Write the multipliers (rows, terms) of the blocks whose rows have any, NPZ."""
    multipliers = run.scheme.multipliers
    blocks: dict[str, Any] = {b: m.cpu().numpy() for b, m in multipliers.items() if m.ndim == 2}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **blocks)


def train_run(results: Results, truth: Path) -> None:
    """Train one run, from its last checkpoint if it has any.

    Parameters
    ----------
    results
        Its folder, with the case, the collocation points and the settings.
    truth
        File of the true fields.
    """
    add_errors = truth_errors(truth, read_case(results.case))

    def observe(run: Run) -> None:
        add_errors(run)
        if run.history.rows[-1]["step"] == run.settings.iterations:
            keep_multipliers(run, results.folder / FINAL)

    train(load_stage(results.settings("train"), "train"), results, observe=observe)
