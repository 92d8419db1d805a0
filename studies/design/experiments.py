"""The experiments of the curves: sampled from one flow, inferred with every setting at its default.

What is finished is not done again, and a training that was interrupted goes on.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

import pandas as pd

from aiv_rba.files.results import Results
from aiv_rba.twin.family import find_twin
from aiv_rba.twin.files import write_experiment
from aiv_rba.twin.generate import lookup, write
from aiv_rba.twin.kept import kept_solution
from aiv_rba.twin.options import Twin
from aiv_rba.twin.sampling import Interpolant
from aiv_rba.twin.solver import Solution
from studies.design.curves import Point, curves
from studies.limits import run_stages

FAMILY, NAME = Path("workflow/config/twins.yaml"), "tube_a"
FOLDER = Path("results/design")
BASE = "base"
# The flow is one object, whatever the number of runs at a time.
SAMPLING = Lock()
# What a user sees of the errors against the truth, by their names in scores.json.
FIELDS = {"velocity": "velocity", "pressure": "pressure", "wss": "WSS", "flow_rate": "flow rate"}


@dataclass(frozen=True)
class Job:
    """An experiment: its curve and point by their names, and the seed of what is drawn."""

    curve: str
    folder: str
    point: Point
    seed: int

    @property
    def results(self) -> Results:
        """Where its files lie."""
        return Results(FOLDER / self.folder / f"seed_{self.seed}")


def base_twin() -> Twin:
    """The twin that all are made of, with its waveform written out, which no seed changes."""
    twin = find_twin(FAMILY, NAME)
    assert isinstance(twin, Twin)
    return replace(twin, wave=twin.pulse)


def jobs(quick: bool, seeds: int) -> list[Job]:
    """The experiments, seed by seed, those of the quick set first."""
    twin = base_twin()
    every = [(BASE, BASE, Point(BASE, quick=True))]
    for curve in curves(twin.camera):
        every += [(curve.name, curve.folder(point), point) for point in curve.points]
    every.sort(key=lambda one: not one[2].quick)
    return [
        Job(curve, folder, point, twin.seed + seed)
        for seed in range(seeds)
        for curve, folder, point in every
        if point.quick or not quick
    ]


@cache
def flow() -> tuple[Solution, Interpolant]:
    """The one flow, and its velocity for tracers; solved on the first call of all."""
    twin = base_twin()
    solution = kept_solution(twin, FOLDER / "solution.h5")
    return solution, lookup(twin, solution)


def write_data(job: Job, experiment: Path) -> None:
    """Tracks, wall and truth, and an experiment that says what every user must say."""
    twin = replace(job.point.of(base_twin()), seed=job.seed)
    data = experiment.parent / "data"
    write(twin, *flow(), data, None)
    fluid = replace(twin.fluid, viscosity=twin.fluid.viscosity * job.point.viscosity)
    stated = {
        "tracks": str(data / "tracks.csv"),
        "wall": str(data / "wall.stl"),
        "fluid": asdict(fluid),
        "period": twin.period,
    }
    name = experiment.parent.name
    write_experiment(experiment, name, twin.unit, stated, data / "truth.h5")


def work(job: Job) -> dict[str, Any]:
    """Make an experiment, infer its flow, and return what is kept of both."""
    results = job.results
    experiment = results.folder / "experiment.yaml"
    row = {"curve": job.curve, "at": job.point.at, "seed": job.seed}
    if not results.scores.is_file():
        with SAMPLING:
            if not experiment.is_file():
                write_data(job, experiment)
        try:
            run_stages(experiment, results)
        except subprocess.CalledProcessError as error:
            log = (results.folder / "log.txt").read_text().splitlines()
            return row | {"failed": log[-1] if log else str(error)}
    return row | outcome(results)


def outcome(results: Results) -> dict[str, Any]:
    """Errors against the truth and what they were got with."""
    found = json.loads(results.scores.read_text())
    trained = json.loads(results.record("train").read_text())
    tracks = pd.read_csv(results.folder / "data" / "tracks.csv", usecols=["track"])
    return {
        **{name: found["truth"][name] for name in FIELDS},
        "verdict": found["quality"]["verdict"],
        "rows": len(tracks),
        "tracks": tracks["track"].nunique(),
        "steps": trained["training"]["iterations"],
        "seconds": trained["training"]["seconds"],
        "revision": trained["revision"],
    }
