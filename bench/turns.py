"""Real trainings that take their steps in turns, so that a drift of the machine hits all alike.

Every rank is a process that runs `aiv_rba`'s own loop, which waits for its turn before the first
step of every turn.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import psutil

from aiv_rba.files.case import read_case
from aiv_rba.problem import Batch
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.problems.velocimetry.share import collectives, held, peak_memory
from aiv_rba.ranks.ddp import Ranks, process_group
from aiv_rba.settings import TrainSettings
from aiv_rba.training.checkpoints import Checkpoints
from aiv_rba.training.loop import Run
from bench.measure import in_turns, timed
from bench.processes import Place, start

# Cores that others may keep busy on a machine that counts as quiet.
QUIET = 0.15


@dataclass(frozen=True)
class Inputs:
    """What a training reads; nothing in the settings is left ``auto``."""

    settings: TrainSettings
    case: Path
    points: Path


@dataclass(frozen=True)
class Job:
    """A training: its inputs, ranks of one thread each, and the steps of a turn.

    With `apart` every rank is a training of its own, which knows of no other: what two of them
    get done side by side is the most that two ranks could. With `source` it imports the package
    from there, such as the `src` of another commit.
    """

    name: str
    ranks: int
    inputs: Inputs
    steps: int
    apart: bool = False
    source: Path | None = None


class Turn(NamedTuple):
    """What a turn took."""

    seconds: float
    """Seconds of a step."""
    work: float
    """Processor seconds of a step of the rank that works most, which leave out its waits."""
    others: float
    """Cores that other processes kept busy meanwhile."""


def take_turns(
    jobs: Sequence[Job], folder: Path, rounds: int
) -> tuple[dict[str, list[Turn]], dict[str, list[dict[str, Any]]]]:
    """Turns of every job after one to warm up, and what each of its ranks says of itself.

    Checkpoints and logs go to the folder.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    with ExitStack() as processes:
        pipes = {}
        for job in jobs:
            with importing_from(job.source):
                pipes[job.name] = start(job.ranks, _train, (job, rounds, folder), processes)

        def ask(job: Job) -> list[Any]:
            try:
                for pipe in pipes[job.name]:
                    pipe.send("go on")
                return [pipe.recv() for pipe in pipes[job.name]]
            except (EOFError, OSError):
                logs = [log.read_text() for log in folder.glob(f"{job.name}_*.log")]
                sys.exit("\n".join(logs))

        def turn(job: Job) -> Turn:
            started, busy = time.perf_counter(), _seconds_busy()
            work = ask(job)
            seconds = time.perf_counter() - started
            others = (_seconds_busy() - busy - sum(work)) / seconds
            return Turn(seconds / job.steps, max(work) / job.steps, others)

        taken = in_turns({job.name: partial(turn, job) for job in jobs}, rounds)
        return taken, {job.name: ask(job) for job in jobs}


def quiet_rounds(taken: Mapping[str, Sequence[Turn]]) -> list[int]:
    """Numbers of the rounds in which others kept the machine less busy than `QUIET`, or of all."""
    rounds = list(zip(*taken.values(), strict=True))
    quiet = [n for n, turns in enumerate(rounds) if max(t.others for t in turns) <= QUIET]
    return quiet or list(range(len(rounds)))


@contextmanager
def importing_from(source: Path | None) -> Iterator[None]:
    """Let processes that are spawned meanwhile import the package from a folder of sources."""
    with patch.object(sys, "path", [*([] if source is None else [str(source)]), *sys.path]):
        yield


def _seconds_busy() -> float:
    """Seconds that the machine's cores have been busy, or were kept from it by their host."""
    t = psutil.cpu_times()
    return float(t.user + t.nice + t.system + t.irq + t.softirq + t.steal)


class InTurns(Velocimetry):
    """Velocimetry that waits for its turn, and then says how long the processor worked for it."""

    def __init__(self, inputs: Inputs, ranks: Ranks, steps: int, pipe: Connection) -> None:
        super().__init__(inputs.settings, read_case(inputs.case), inputs.points, ranks)
        self.steps = steps
        self.pipe = pipe
        self.started = 0.0

    def batch(self, step: int) -> Batch:
        """The rows of a step, when its turn has come."""
        if step % self.steps == 0:
            if step > 0:
                self.pipe.send(time.process_time() - self.started)
            self.pipe.recv()
            self.ranks.wait()
            self.started = time.process_time()
        return super().batch(step)


def _train(place: Place, pipe: Connection, job: Job, rounds: int, folder: Path) -> None:
    """One rank: train, turn by turn; then say what it holds and what its collectives take."""
    sys.stderr = (folder / f"{job.name}_{place.rank}.log").open("w", buffering=1)
    if not job.apart:
        place.join()
    settings = job.inputs.settings
    # The step after the last turn ends that turn.
    optimiser = replace(settings.optimiser, iterations=(1 + rounds) * job.steps + 1)
    endless = replace(settings, optimiser=optimiser, settled=None, minutes=None)
    saves: list[float] = []
    save = patch.object(Checkpoints, "save", noting(Checkpoints.save, saves))
    with save, process_group() as ranks:
        problem = InTurns(replace(job.inputs, settings=endless), ranks, job.steps, pipe)
        run = Run(problem.settings, problem, ranks)
        run.train(folder / job.name / str(place.rank))
        told = {
            "peak": peak_memory(),
            **held(run, problem),
            "parameters": sum(p.numel() for p in problem.residuals.parameters()),
            "save_seconds": saves,
            "errors": problem.errors(),
        }
        pipe.send(told | {"collectives": collectives(run, problem) if ranks.size > 1 else {}})


def noting(call: Callable[..., None], seconds: list[float]) -> Callable[..., None]:
    """The same call, which notes how long it took."""
    return lambda *values, **named: seconds.append(timed(partial(call, *values, **named))())
