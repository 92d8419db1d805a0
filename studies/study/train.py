"""Train one run of the study, with its errors against the truth along the way in its history.

The errors steer nothing: they are computed at the rows of the history, after the steps. The
multipliers of the last step are kept too, and the checkpoints are removed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aiv_rba.fields.derived import in_si
from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.results import Results
from aiv_rba.files.truth import open_truth
from aiv_rba.geometry import lumen_of
from aiv_rba.harmonics import fourier
from aiv_rba.problems.velocimetry.network import FlowNetwork
from aiv_rba.settings import load_stage
from aiv_rba.stages.train.run import train
from aiv_rba.statistics import relative_l2
from aiv_rba.training.loop import Run

# Points of the truth, drawn at random, and phases of the cycle at which a row looks at it.
POINTS, PHASES = 500, 4
# The multipliers of the last step, in the folder of the run.
FINAL = "last_multipliers.npz"


def truth_errors(truth: Path, case: Case) -> Callable[[Run], None]:
    """A function that adds the errors of velocity and pressure to the last row of a history."""
    scales = case.scales
    with open_truth(truth) as file:
        positions = (file["points/position"][:] - np.array(scales.origin)) / scales.length
        inside = np.flatnonzero(lumen_of(case).inside(positions))
        kept = np.sort(np.random.default_rng(0).choice(inside, POINTS, replace=False))
        velocity, pressure = (
            file[f"points/{name}"][:][:, kept] for name in ("velocity", "pressure")
        )
    phases = np.arange(PHASES) / PHASES
    true_velocity = np.concatenate([fourier(velocity, phase) for phase in phases])
    true_pressure = np.array([fourier(pressure, phase) for phase in phases])
    true_pressure -= true_pressure.mean(axis=1, keepdims=True)
    times = np.repeat(phases * scales.nondimensional_period, POINTS)
    points = np.column_stack([times, np.tile(positions[kept], (PHASES, 1))])

    @torch.no_grad()
    def add(run: Run) -> None:
        network = run.problem.residuals.network
        assert isinstance(network, FlowNetwork)
        at = torch.as_tensor(points).to(next(network.parameters()))
        found = in_si(network.value(at)[None].double().cpu().numpy(), scales)
        gauged = found.pressure.reshape(PHASES, POINTS)
        gauged = gauged - gauged.mean(axis=1, keepdims=True)
        run.history.rows[-1] |= {
            "truth_velocity": relative_l2(found.velocity, true_velocity),
            "truth_pressure": relative_l2(gauged, true_pressure),
        }

    return add


def keep_multipliers(run: Run, path: Path) -> None:
    """Write the multipliers (rows, terms) of the blocks whose rows have any, NPZ."""
    multipliers = run.scheme.multipliers
    blocks: dict[str, Any] = {b: m.cpu().numpy() for b, m in multipliers.items() if m.ndim == 2}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **blocks)


def main() -> int:
    """Train one run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("truth", type=Path, help="file of the true fields")
    arguments = parser.parse_args()
    results = Results(arguments.folder)
    add_errors = truth_errors(arguments.truth, read_case(results.case))

    def observe(run: Run) -> None:
        add_errors(run)
        if run.history.rows[-1]["step"] == run.settings.iterations:
            keep_multipliers(run, results.folder / FINAL)

    train(load_stage(results.settings("train"), "train"), results, observe=observe)
    shutil.rmtree(results.checkpoints, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
