"""Optimisers of wide networks: the paper's network and the bundled tracks at equal processor time.

Adam, the same with matrix products in bfloat16, SOAP, and Gauss-Newton in sample space with
momentum (SPRING). The trainings take turns on one core; a learning rate falls over its share of the
time as the settings have it. Writes results/bench_equal_time.json.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from aiv_rba.files.case import Case, read_case
from aiv_rba.files.results import Results
from aiv_rba.optimisers.adam import Adam
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import (
    AdamSettings,
    GaussNewtonSettings,
    SOAPSettings,
    TrainSettings,
    read_experiment,
)
from aiv_rba.stages.ingest.run import ingest
from aiv_rba.stages.points.generate import collocate
from aiv_rba.training.loop import Run
from aiv_rba.training.precision import matmul_precision
from bench.measure import BUNDLED, PAPER, write

# Processor seconds of a turn, and steps before it counts, which load libraries.
TURN, WARM_UP = 10.0, 2
# Points of wall, tracks and lumen in a step of Gauss-Newton: some thousand rows.
FEW_ROWS = (50, 150, 150)


class Timed:
    """A training that is given processor time instead of a number of steps."""

    def __init__(self, settings: TrainSettings, case: Case, points: Path, total: float) -> None:
        ranks = Ranks(0, 1, torch.device("cpu"))
        self.problem = Velocimetry(settings, case, points, ranks)
        self.run = Run(self.problem.settings, self.problem, ranks)
        self.total = total
        self.used = 0.0
        self.steps = 0

    def turn(self, seconds: float) -> None:
        """Take steps for so many seconds."""
        end = min(self.used + seconds, self.total)
        with matmul_precision(self.run.settings.matmul_precision):
            while self.used < end:
                started = time.process_time()
                self._step()
                if self.steps > WARM_UP:
                    self.used += time.process_time() - started

    def _step(self) -> None:
        optimiser = self.run.optimiser
        if isinstance(optimiser, Adam):
            # The schedule is one of steps: as many have passed as belong to the time used.
            optimiser.steps = int(optimiser.settings.iterations * self.used / self.total)
        optimiser.step(self.problem.batch(self.steps), self.run.weigh)
        self.steps += 1

    def found(self) -> dict[str, Any]:
        """Time, steps and errors on held-out tracks."""
        return {"seconds": self.used, "steps": self.steps, **self.problem.errors()}


def variants(train: TrainSettings, groups: int) -> dict[str, TrainSettings]:
    """Settings of every training."""
    adam = train.optimiser
    assert isinstance(adam, AdamSettings)
    adam = replace(adam, compile=False)
    kept = {k: v for k, v in vars(adam).items() if k != "name"}
    faster = kept | {"learning_rate": 1.5 * adam.learning_rate}
    first_order = replace(train, optimiser=adam, groups_per_step=groups)
    # Gauss-Newton is indifferent to weight normalisation, and refuses it.
    network = replace(train.network, weight_normalisation=False)
    spring = GaussNewtonSettings(rows=FEW_ROWS, curvature_memory=None, momentum=0.9)
    return {
        "adam": first_order,
        "adam_bfloat16": replace(first_order, matmul_precision="medium"),
        "soap": replace(first_order, optimiser=SOAPSettings(**kept)),
        "soap_faster": replace(first_order, optimiser=SOAPSettings(**faster)),
        "spring": replace(train, optimiser=spring, network=network),
        "spring_levenberg": replace(
            train, optimiser=replace(spring, scaling="levenberg"), network=network
        ),
    }


def run(seconds: float = 300.0, groups: int = 525) -> None:
    """Train each for so many processor seconds, Adam and SOAP on so many groups in a step."""
    torch.set_num_threads(1)
    experiment = read_experiment(BUNDLED, PAPER)
    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder))
        ingest(experiment.ingest, results)
        collocate(experiment.points, results)
        case = read_case(results.case)
        trainings = {
            name: Timed(settings, case, results.points, seconds)
            for name, settings in variants(experiment.train, groups).items()
        }
        history: list[dict[str, Any]] = []
        while any(training.used < seconds for training in trainings.values()):
            for training in trainings.values():
                training.turn(TURN)
            history.append({name: training.found() for name, training in trainings.items()})
            print(history[-1], flush=True)
    write("bench_equal_time", {"groups_per_step": groups, "history": history})
