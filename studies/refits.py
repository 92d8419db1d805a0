"""Standard deviations from the curvature against those of trainings on tracks drawn anew.

The bundled small flow is trained once. Its standard deviations are found from the curvature, and
again as the differences of further trainings, each from another start and on tracks drawn anew
with replacement. Such trainings show what the noise of the tracks and the training itself do, and
not what the wall, the equations and the amplitude may be off by, so that they are compared with
the curvature's part for the noise as well as with the whole. Trainings are in results/refits;
finished ones only repeat the steps after their last checkpoint. Writes results/refits.json and
prints a table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from aiv_rba.fields.flow import SMALL_FLOW, Flow, open_flow
from aiv_rba.files.formats import Array
from aiv_rba.files.results import Results
from aiv_rba.settings import (
    FlowNetworkSettings,
    GaussNewtonSettings,
    PointsSettings,
    TrainSettings,
    UncertaintySettings,
)
from aiv_rba.stages.points.generate import collocate
from aiv_rba.stages.train.run import train
from studies.budget import alone

FOLDER, RESULT = Path("results/refits"), Path("results/refits.json")
# A coarse set of collocation points, which is enough for a smooth flow in a straight tube.
COLLOCATION = PointsSettings(
    n_theta=4, n_y=4, n_r=2, n_t=3, wall_n_t=3, per_group=6, layers=10, time_levels=21
)
# Random samples of the curvature: many, so that chance is in the trainings alone.
SAMPLES = 256
# Points in the lumen and phases of the cycle at which the deviations are compared.
POINTS, PHASES = 400, 8


def trained(method: Literal["curvature", "ensemble"], members: int, steps: int) -> Flow:
    """The small flow with its standard deviations; the network is trained once for both methods."""
    results = Results(FOLDER)
    settings = TrainSettings(
        network=FlowNetworkSettings(layers=2, width=12),
        optimiser=GaussNewtonSettings(iterations=steps),
        uncertainty=UncertaintySettings(method=method, members=members, samples=SAMPLES),
    )
    train(settings, results)
    return open_flow(results.folder)


def points_inside(flow: Flow) -> Array:
    """Points (N, 3) that are uniformly distributed in the lumen, nondimensional."""
    corners = flow.case.wall.points.min(axis=0), flow.case.wall.points.max(axis=0)
    drawn = np.random.default_rng(0).uniform(*corners, (10 * POINTS, 3))
    return np.asarray(drawn[flow.lumen.inside(drawn)][:POINTS])


def sizes(flow: Flow) -> dict[str, float]:
    """Standard deviations of every field, root mean squares over the vessel and the cycle, SI."""
    times = flow.period * np.arange(PHASES) / PHASES
    at = times / flow.case.scales.time
    inside = flow.std.inside(points_inside(flow), at)
    velocity = np.array([found["velocity"] for found in inside])
    wall = flow.case.wall
    on_wall = flow.std.on_wall(wall.points, wall.normals, at)
    values = {
        **{name: velocity[..., i] for i, name in enumerate("uvw")},
        "pressure": np.array([found["pressure"] for found in inside]),
        "wss": np.array([found["wall_shear_stress"] for found in on_wall]),
        "flow_rate": flow.hydraulics(times)["flow_rate_std_m3_s"].to_numpy(),
    }
    return {name: float(np.sqrt(np.mean(value**2))) for name, value in values.items()}


def compared(members: int, steps: int) -> pd.DataFrame:
    """Standard deviations by the trainings and by the curvature, and their ratios, by field."""
    by_curvature = trained("curvature", members, steps)
    whole, noise = sizes(by_curvature), sizes(alone(by_curvature, "noise"))
    refits = sizes(trained("ensemble", members, steps))
    table = pd.DataFrame({"refits": refits, "noise": noise, "whole": whole})
    table["refits_over_noise"] = table["refits"] / table["noise"]
    table["refits_over_whole"] = table["refits"] / table["whole"]
    return table


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, standard deviations in SI units."""
    lines = ["| " + " | ".join(["field", *(name.replace("_", " ") for name in table)]) + " |"]
    lines.append("| --- |" + " --- |" * len(table.columns))
    for row in table.itertuples():
        field, *values = row
        lines.append(f"| {field} | " + " | ".join(f"{value:.3g}" for value in values) + " |")
    return "\n".join(lines)


def main() -> int:
    """Train what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=20, help="trainings on tracks drawn anew")
    parser.add_argument("--steps", type=int, default=60, help="steps of each training")
    arguments = parser.parse_args()
    results = Results(FOLDER)
    results.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(Results(SMALL_FLOW).case, results.case)
    collocate(COLLOCATION, results)
    table = compared(arguments.members, arguments.steps)
    chance = (2 * arguments.members) ** -0.5
    result = {"members": arguments.members, "chance": chance, "fields": table.to_dict("index")}
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(markdown(table))
    print(f"\nWith so few trainings, chance alone changes a ratio by {100 * chance:.0f} percent.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
