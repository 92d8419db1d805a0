"""Inputs of real trainings: an experiment as it is and with twice the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba.files.case import Case, Tracks, read_case, write_case
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.settings import GaussNewtonSettings, TrainSettings, load_stage
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.points.generate import generate
from bench.turns import Inputs

CONFIG = Path("workflow/config")


def twice_the_tracks(case: Case) -> Case:
    """The same case with every track row twice."""

    def double(values: Any) -> Any:
        if isinstance(values, dict):
            return {name: double(column) for name, column in values.items()}
        return np.concatenate([values, values])

    return replace(case, tracks=Tracks(**double(vars(case.tracks))))


def twice_the_rows(settings: TrainSettings) -> TrainSettings:
    """The same training on twice as many rows in a step."""
    optimiser = settings.optimiser
    if isinstance(optimiser, GaussNewtonSettings) and optimiser.rows != "auto":
        optimiser = replace(optimiser, rows=tuple(2 * count for count in optimiser.rows))
    return replace(settings, groups_per_step=2 * settings.groups_per_step, optimiser=optimiser)


def write_inputs(folder: Path, name: str) -> tuple[Inputs, Inputs]:
    """Ingest and collocate ``workflow/config/<name>.yaml``, as it is and with twice the rows."""
    config = CONFIG / f"{name}.yaml"
    files = {"summary": folder / "summary.txt", "picture": folder / "picture.png"}
    cases = folder / f"{name}_case.h5", folder / f"{name}_case_2.h5"
    ingest(load_stage(config, "ingest"), case=cases[0], **files)
    case = read_case(cases[0])
    write_case(cases[1], twice_the_tracks(case))
    section = load_stage(config, "points")
    double = replace(section, n_t=2 * section.n_t, wall_n_t=2 * section.wall_n_t)
    points = folder / f"{name}_points.h5", folder / f"{name}_points_2.h5"
    for groups, path in zip((section, double), points, strict=True):
        generate(groups, case=cases[0], points=path, picture=files["picture"])
    # Chosen rows in full, so that they can be doubled.
    settings = resolve(load_stage(config, "train"), case)
    return (
        Inputs(settings, cases[0], points[0]),
        Inputs(twice_the_rows(settings), cases[1], points[1]),
    )
