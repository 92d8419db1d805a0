"""Inputs of real trainings: an experiment as it is and with twice the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aiv_rba.files.case import Case, Tracks, read_case, write_case
from aiv_rba.files.results import Results
from aiv_rba.problems.velocimetry.choices import resolve
from aiv_rba.settings import GaussNewtonSettings, TrainSettings, read_experiment
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.points.generate import collocate
from bench.measure import BUNDLED
from bench.turns import Inputs


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


def write_inputs(folder: Path, *overlays: Path) -> tuple[Inputs, Inputs]:
    """Ingest and collocate the bundled experiment with overlays: as it is, with twice the rows."""
    experiment = read_experiment(BUNDLED, *overlays)
    once, twice = Results(folder / "once"), Results(folder / "twice")
    ingest(experiment.ingest, once)
    case = read_case(once.case)
    collocate(experiment.points, once)
    section = experiment.points
    twice.folder.mkdir()
    # Collocation needs the wall alone, and points must belong to the case that they are used with.
    write_case(twice.case, twice_the_tracks(case))
    collocate(replace(section, n_t=2 * section.n_t, wall_n_t=2 * section.wall_n_t), twice)
    # Chosen rows in full, so that they can be doubled.
    settings = resolve(experiment.train, case)
    return (
        Inputs(settings, once.case, once.points),
        Inputs(twice_the_rows(settings), twice.case, twice.points),
    )
