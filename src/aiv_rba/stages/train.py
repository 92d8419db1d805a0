"""Stage train: from a case and its collocation points to a trained network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path, sha256
from aiv_rba.files.provenance import versions
from aiv_rba.problems.velocimetry.choices import chosen
from aiv_rba.problems.velocimetry.model import Model, save_model
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import process_group
from aiv_rba.settings import TrainSettings
from aiv_rba.training.loop import Run
from aiv_rba.training.tensorboard import event_file


def train(
    settings: TrainSettings,
    *,
    case: Path,
    points: Path,
    model: Path,
    history: Path,
    checkpoints: Path,
    tensorboard: Path | None = None,
) -> None:
    """Train one network; every rank calls this.

    Writes `model` and `history` when done. Checkpoints go into a folder named after the hash of
    settings, case and points, so that a run resumes from its own checkpoints and no other's. The
    first rank writes the rows of the history to the folder `tensorboard` too, while it trains.

    Raises
    ------
    UserError
        If a file does not fit, or a number is not finite and no restart is left.
    Interrupted
        If SIGTERM or SIGUSR1 came; a checkpoint of the step is written.
    """
    with (
        process_group() as ranks,
        event_file(tensorboard if ranks.rank == 0 else None) as write_event,
    ):
        experiment = read_case(case)
        problem = Velocimetry(settings, experiment, points, ranks)
        run = Run(problem.settings, problem, ranks)
        run.train(
            checkpoints / _identity(settings, experiment, points)[:12],
            observe=lambda step: write_event(run.history.rows[-1]),
        )
        if ranks.rank == 0:
            _write(run, problem, experiment, chosen(settings, problem.settings), model, history)


def _identity(settings: TrainSettings, case: Case, points: Path) -> str:
    # Whoever allows restarts after a failure goes on from its last checkpoint.
    known = asdict(replace(settings, restarts=0))
    text = json.dumps([known, case.identity, sha256(points)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(
    run: Run,
    problem: Velocimetry,
    case: Case,
    choices: dict[str, Any],
    model: Path,
    history: Path,
) -> None:
    settings, batches = problem.settings, problem.batches
    metadata = {
        "seconds": run.seconds,
        "world_size": run.ranks.size,
        "device": run.ranks.device.type,
        "iterations": int(run.history.rows[-1]["step"]),
        "ended": run.ended,
        "seed": settings.seed,
        "restarts": run.restarts,
        "multipliers": settings.multipliers.name,
        "optimiser": settings.optimiser.name,
        "parameters": sum(p.numel() for p in problem.network.parameters()),
        "points": {
            "interior": batches.groups * batches.epoch_length,
            "wall": batches.wall_groups * batches.epoch_length,
        },
        "settings": asdict(settings),
        "chosen": choices | {"softening of the equations": run.history.rows[-1]["softening"]},
        "versions": versions(),
    }
    with atomic_path(history) as temporary:
        pd.DataFrame(run.history.rows).to_csv(temporary, index=False)
    trained = Model(problem.network.cpu(), case.scales, case.identity, metadata)
    save_model(model, trained, settings.network)
