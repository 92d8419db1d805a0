"""Stage train: from a case and its collocation points to a trained network."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pandas as pd

from aiv_rba.files.case import Case, read_case
from aiv_rba.files.formats import atomic_path
from aiv_rba.files.records import recorded
from aiv_rba.files.results import Results
from aiv_rba.problems.velocimetry.amplitudes import FittedAmplitudes, fit_amplitudes
from aiv_rba.problems.velocimetry.choices import chosen
from aiv_rba.problems.velocimetry.deviations import save_deviations
from aiv_rba.problems.velocimetry.model import Model, save_model
from aiv_rba.problems.velocimetry.point_source import PointSource
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import process_group
from aiv_rba.settings import TrainSettings
from aiv_rba.stages.train.uncertainty import find_deviations, method_of
from aiv_rba.terminal import say
from aiv_rba.training.loop import Run
from aiv_rba.training.tensorboard import event_file

# Settings that decide when a training ends, what it writes down and what follows it, or only how
# its steps are computed. The number of iterations is none of them: learning rates follow from it.
NOT_DECIDING = {
    "checkpoint_every",
    "compile",
    "cuda_graphs",
    "device",
    "fit_amplitudes",
    "history_every",
    "minutes",
    "points",
    "restarts",
    "rows_at_once",
    "settled",
    "timeouts",
    "uncertainty",
}
_HOW = {
    "curvature": "the curvature of the loss",
    "ensemble": "an ensemble of trainings",
    "none": "no method: set train.uncertainty.method to ensemble to have them",
}


def train(
    settings: TrainSettings,
    results: Results,
    *,
    tensorboard: bool = False,
    observe: Callable[[Run], None] | None = None,
) -> None:
    """Train one network, and find what its flow may be off by; every rank calls this.

    Writes model, deviations and history when done. Checkpoints go into a folder named after the
    hash of settings, case and points, so that a run resumes from its own checkpoints and no
    other's. The first rank can write the rows of the history for TensorBoard too, while it trains.
    Every rank calls `observe`, if any, at every row of the history.

    Raises
    ------
    UserError
        If a file does not fit, or a number is not finite and no restart is left.
    Interrupted
        If SIGTERM, SIGUSR1 or Ctrl-C came; a checkpoint of the step is written.
    """
    with process_group(settings.device, settings.timeouts) as ranks:
        first = ranks.rank == 0
        inputs = [results.case, results.points]
        with (
            recorded(results, "train", inputs, write=first) as record,
            event_file(results.events if first and tensorboard else None) as write_event,
        ):
            case = read_case(results.case)
            problem = Velocimetry(settings, case, results.points, ranks)
            if first and problem.batches.points.streamed:
                say("train: collocation points are read from the file during the steps")
            parameters = sum(p.numel() for p in problem.network.parameters())
            method = method_of(settings, parameters)
            checkpoints = (
                results.checkpoints / _identity(settings, case, problem.batches.points)[:12]
            )
            run = Run(problem.settings, problem, ranks)

            def at_row(step: int) -> None:
                write_event(run.history.rows[-1])
                if observe:
                    observe(run)

            run.train(checkpoints, observe=at_row)
            amplitudes = _fit_amplitudes(problem, case)

            def train_member(settings: TrainSettings, case: Case, name: str) -> Velocimetry:
                say(f"train: {name} of the ensemble")
                member = Velocimetry(settings, case, results.points, ranks)
                Run(member.settings, member, ranks).train(checkpoints / name)
                _fit_amplitudes(member, case)
                return member

            started = time.perf_counter()
            deviations = find_deviations(method, problem, case, train_member, amplitudes.raised)
            seconds = time.perf_counter() - started
            if first:
                choices = chosen(settings, problem.settings, case)
                record["training"] = _facts(run, problem, choices, amplitudes)
                record["training"]["uncertainty"] = {"method": method, "seconds": seconds}
                _write(run, problem, case, results, amplitudes)
                save_deviations(results.deviations, deviations, case.identity)
                say(f"train: standard deviations by {_HOW[method]}, {seconds:.0f} s")


def _fit_amplitudes(problem: Velocimetry, case: Case) -> FittedAmplitudes:
    if not problem.settings.fit_amplitudes:
        return FittedAmplitudes([], 0.0)
    return fit_amplitudes(problem, case.flow)


def _identity(settings: TrainSettings, case: Case, points: PointSource) -> str:
    """Hash of what decides the steps of a training, and so which checkpoints are its own."""
    text = json.dumps([_deciding(asdict(settings)), case.identity, points.identity], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _deciding(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _deciding(value) if isinstance(value, dict) else value
        for key, value in settings.items()
        if key not in NOT_DECIDING
    }


def _facts(
    run: Run, problem: Velocimetry, choices: dict[str, str], amplitudes: FittedAmplitudes
) -> dict[str, Any]:
    """How the network was trained, for the record."""
    settings, points = problem.settings, problem.batches.points
    return {
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
            "interior": points.groups * points.epoch_length,
            "wall": points.wall_groups * points.epoch_length,
        },
        "settings": asdict(settings),
        "chosen": choices | _found_on_the_way(run, settings, amplitudes),
        "amplitudes": asdict(amplitudes),
    }


def _found_on_the_way(
    run: Run, settings: TrainSettings, amplitudes: FittedAmplitudes
) -> dict[str, str]:
    """What the training itself chose: the value, and what it follows from."""
    found = {}
    if settings.few_large_steps:
        found["softening of the equations"] = (
            f"{run.history.rows[-1]['softening']:.3g} times their tolerances; it follows from how "
            "slow the inferred flow is on the tracks"
        )
    if settings.fit_amplitudes:
        found["factor of the velocity by the fit of the amplitudes"] = (
            f"{1 + amplitudes.raised:.5g}, with which the tracks are met best"
        )
    return found


def _write(
    run: Run, problem: Velocimetry, case: Case, results: Results, amplitudes: FittedAmplitudes
) -> None:
    with atomic_path(results.history) as temporary:
        pd.DataFrame(run.history.rows).to_csv(temporary, index=False)
    trained = Model(
        problem.network.cpu(),
        case.scales,
        case.identity,
        problem.depth_spread,
        amplitudes.raised,
    )
    save_model(results.model, trained, problem.settings.network)
    steps = run.history.rows[-1]["step"]
    where = f"{run.ranks.size} rank(s) ({run.ranks.device.type})"
    say(f"train: {steps:.0f} steps on {where} in {run.seconds:.0f} s")
    if amplitudes.changes:
        raised = f"{100 * amplitudes.raised:+.2f}"
        say(
            f"train: amplitudes fitted to the tracks once more, which raised the flow by {raised} %"
        )
