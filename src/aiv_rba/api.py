"""The stages as functions of an experiment and a folder, and training on equations of one's own.

Each stage reads and writes the same files as its subcommand, so work that is begun in Python can go
on in the workflow and the other way round.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from aiv_rba.fields.flow import Flow, open_flow
from aiv_rba.files.results import Results
from aiv_rba.problem import Problem
from aiv_rba.problems.fixed_points import FixedPoints
from aiv_rba.settings import Experiment, LoopSettings
from aiv_rba.stages.fields import run as fields_stage
from aiv_rba.stages.ingest import run as ingest_stage
from aiv_rba.stages.points import generate as points_stage
from aiv_rba.stages.report import run as report_stage
from aiv_rba.stages.score.run import score as score_stage
from aiv_rba.stages.train.run import train as train_stage
from aiv_rba.training.loop import Run

Folder = Path | str


def ingest(experiment: Experiment, folder: Folder) -> None:
    """Check tracks and wall, make them nondimensional and write the case into a folder.

    Raises
    ------
    UserError
        At the first thing that is wrong with the input.
    """
    ingest_stage.ingest(experiment.ingest, Results(Path(folder)))


def collocate(experiment: Experiment, folder: Folder) -> None:
    """Make the collocation points of an ingested case and bin them into training groups."""
    points_stage.collocate(experiment.points, Results(Path(folder)))


def train(experiment: Experiment, folder: Folder) -> None:
    """Train the network, from the last checkpoint if there is one.

    Under torchrun or srun every rank calls this.
    """
    train_stage(experiment.train, Results(Path(folder)))


def write_fields(experiment: Experiment, folder: Folder) -> None:
    """Write the inferred flow as VTK series, and its hydraulics as a table."""
    fields_stage.fields(experiment.fields, Results(Path(folder)))


def score(experiment: Experiment, folder: Folder) -> None:
    """Measure the errors on held-out tracks and, where it is known, against the truth."""
    score_stage(experiment.score, Results(Path(folder)))


def report(experiment: Experiment, folder: Folder) -> None:
    """Write the page and its numbers."""
    report_stage.report(experiment.report, Results(Path(folder)))


def infer(experiment: Experiment, folder: Folder) -> Flow:
    """Ingest, collocate and train on this process; the flow that is inferred."""
    for stage in (ingest, collocate, train):
        stage(experiment, folder)
    return open_flow(folder)


def fit(
    problem: Problem | FixedPoints,
    settings: LoopSettings | None = None,
    folder: Folder | None = None,
) -> Run:
    """Train the network of a problem, on its ranks and device; the run with its history.

    Parameters
    ----------
    problem
        What is trained, and on which points.
    settings
        Multipliers, optimiser and more; Gauss-Newton with RBA if left out.
    folder
        Where checkpoints are kept, from which a repeated call goes on; nowhere if left out.

    Raises
    ------
    UserError
        If a number is not finite and no restart is left.
    """
    run = Run(settings or LoopSettings(), problem, problem.ranks)
    if folder is not None:
        run.train(Path(folder))
        return run
    with tempfile.TemporaryDirectory() as temporary:
        run.train(Path(temporary))
    return run
