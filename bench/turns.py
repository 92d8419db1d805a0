"""Real trainings that take their steps in turns, so that a drift of the machine hits all alike.

Every job is started by torchrun and runs `aiv_rba`'s own loop, which waits for its turn before
the first step of every turn. One turn is timed while the others wait.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any, Self

import torch
import torch.distributed as dist
from memory import peak_memory
from torch.profiler import ProfilerActivity, profile

from aiv_rba.files.case import read_case
from aiv_rba.problem import Batch
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks, process_group
from aiv_rba.settings import TrainSettings, load_stage
from aiv_rba.training.checkpoints import Checkpoints
from aiv_rba.training.loop import Run

PATIENCE = timedelta(hours=1)
WARM_UP = 2
# Cores that others may keep busy on a machine that counts as quiet.
QUIET = 0.15


@dataclass(frozen=True)
class Job:
    """A training: its files, ranks of one thread each, and the steps of a turn.

    With `apart` every process is a training of its own, which knows of no other: what two of them
    get done side by side is the most that two ranks could.
    """

    name: str
    ranks: int
    config: Path
    case: Path
    points: Path
    steps: int
    apart: bool = False


@dataclass
class Turn:
    """What a turn took.

    Attributes
    ----------
    seconds
        Of each step, the slowest rank's.
    cpu
        Processor seconds of each rank: its work, without the wait for others.
    others
        Cores that other processes kept busy meanwhile.
    """

    seconds: list[float]
    cpu: list[float]
    others: float

    @property
    def per_step(self) -> float:
        """Mean seconds of a step."""
        return sum(self.seconds) / len(self.seconds)

    @property
    def work(self) -> float:
        """Mean processor seconds of a step of the rank that works most."""
        return max(self.cpu) / len(self.seconds)


@dataclass
class Turns:
    """Jobs that wait for their turns; a context that ends them.

    Parameters
    ----------
    jobs
        The jobs.
    rounds
        Timed turns of each job, after one of two steps to warm up.
    folder
        For checkpoints and logs.
    patience
        Seconds that a turn waits for other processes to leave the machine alone.
    profiled
        Whether a turn under the profiler follows, which tells the time in collectives.
    """

    jobs: list[Job]
    rounds: int
    folder: Path
    patience: float
    profiled: bool = True
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, timeout=PATIENCE)
        for job in self.jobs:
            task = {
                "name": job.name,
                "port": self.store.port,
                "rounds": self.rounds,
                "profiled": self.profiled,
                "steps": job.steps,
                "config": str(job.config),
                "case": str(job.case),
                "points": str(job.points),
                "checkpoints": str(self.folder / job.name),
                "apart": job.apart,
            }
            self.processes[job.name] = subprocess.Popen(
                [
                    *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                    *("--nproc-per-node", str(job.ranks), __file__, json.dumps(task)),
                ],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=(self.folder / f"{job.name}.log").open("wb"),
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(60)

    def run(self) -> dict[str, list[Turn]]:
        """The timed turns of every job, round by round."""
        for job in self.jobs:
            self._take(job, 0)
        turns: dict[str, list[Turn]] = {job.name: [] for job in self.jobs}
        for number in range(1, self.rounds + 1):
            for job in self.jobs:
                turn = self._take(job, number)
                turns[job.name].append(turn)
                print(f"{job.name}: {turn.per_step:.3f} s a step", file=sys.stderr, flush=True)
        if self.profiled:
            for job in self.jobs:
                self._take(job, self.rounds + 1)
        return turns

    def summary(self, job: Job) -> list[dict[str, Any]]:
        """What each rank of a job says of itself after its last turn."""
        return [self._hear(job, "summary", rank) for rank in range(job.ranks)]

    def _take(self, job: Job, number: int) -> Turn:
        deadline = time.perf_counter() + self.patience
        while time.perf_counter() < deadline and _cores_busy() > QUIET:
            pass
        started, busy = time.perf_counter(), _busy()
        self.store.set(f"{job.name}/{number}", "go")
        reports = [self._hear(job, str(number), rank) for rank in range(job.ranks)]
        elapsed = time.perf_counter() - started
        cpu = [report["cpu"] for report in reports]
        steps = zip(*(report["seconds"] for report in reports), strict=True)
        others = (_busy() - busy - sum(cpu)) / elapsed
        return Turn([max(step) for step in steps], cpu, others)

    def _hear(self, job: Job, what: str, rank: int) -> Any:
        key = f"{job.name}/{what}/{rank}"
        while not self.store.check([key]):
            if self.processes[job.name].poll() is not None:
                sys.exit((self.folder / f"{job.name}.log").read_text())
            time.sleep(0.01)
        return json.loads(self.store.get(key))


def _busy() -> float:
    """Seconds that the machine's cores have been busy, or were kept from it by their host."""
    user, nice, system, _, _, *interrupts = Path("/proc/stat").read_text().split()[1:9]
    ticks = sum(int(x) for x in (user, nice, system, *interrupts))
    return ticks / os.sysconf("SC_CLK_TCK")


def _cores_busy() -> float:
    """Cores that are busy now, over half a second."""
    started, busy = time.perf_counter(), _busy()
    time.sleep(0.5)
    return (_busy() - busy) / (time.perf_counter() - started)


class InTurns(Velocimetry):
    """Velocimetry whose steps wait for their turn."""

    def __init__(
        self, task: dict[str, Any], settings: TrainSettings, ranks: Ranks, store: dist.Store
    ) -> None:
        super().__init__(settings, read_case(task["case"]), Path(task["points"]), ranks)
        self.task, self.store = task, store
        self.process = int(os.environ["RANK"])
        self.profiler = profile(activities=[ProfilerActivity.CPU], record_shapes=True)
        self.times: list[float] = []
        self.cpu = 0.0
        self.peak = 0

    def batch(self, step: int) -> Batch:
        """The rows of a step, when its turn has come."""
        turn, place = divmod(step - WARM_UP, self.task["steps"])
        if step == 0 or (step >= WARM_UP and place == 0):
            self._pass_on(turn + 1)
        self.times.append(time.perf_counter())
        return super().batch(step)

    def _pass_on(self, turn: int) -> None:
        if turn > 0:
            self.times.append(time.perf_counter())
            report = {
                "seconds": [b - a for a, b in zip(self.times, self.times[1:], strict=False)],
                "cpu": time.process_time() - self.cpu,
            }
            self.say(str(turn - 1), report)
        extra = turn - self.task["rounds"] - 1
        if extra == 0:
            self.peak = peak_memory()
        if extra == self.task["profiled"]:
            if extra:
                self.profiler.stop()
            return
        self.store.wait([f"{self.task['name']}/{turn}"])
        if extra == 0:
            self.profiler.start()
        self.ranks.wait()
        self.times, self.cpu = [], time.process_time()

    def say(self, what: str, report: Any) -> None:
        """Tell the main process."""
        self.store.set(f"{self.task['name']}/{what}/{self.process}", json.dumps(report))

    def collectives(self) -> dict[str, list[float]]:
        """Seconds of each collective of the turn under the profiler, by name and numbers.

        They include the wait for the slower rank, and may overlap each other and the work.
        """
        if not self.task["profiled"]:
            return {}
        seconds: dict[str, list[float]] = {}
        for event in self.profiler.events():
            if event.name.startswith("gloo:") and event.input_shapes:
                name = f"{event.name.removeprefix('gloo:')} {math.prod(event.input_shapes[0])}"
                seconds.setdefault(name, []).append(event.cpu_time_total / 1e6)
        return seconds


def alone(ranks: Ranks, count: int, dtype: torch.dtype) -> float:
    """Median seconds of an all-reduce of so many numbers when all ranks start it together."""
    tensor = torch.zeros(count, dtype=dtype)
    seconds = []
    for _ in range(20):
        ranks.wait()
        started = time.perf_counter()
        ranks.sum(tensor)
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def timed(call: Callable[..., None], seconds: list[float]) -> Callable[..., None]:
    """The same call, which notes how long it took."""

    def noting(*arguments: Any, **named: Any) -> None:
        started = time.perf_counter()
        call(*arguments, **named)
        seconds.append(time.perf_counter() - started)

    return noting


def work(task: dict[str, Any]) -> None:
    """One rank of a job."""
    store = dist.TCPStore("127.0.0.1", task["port"], is_master=False, timeout=PATIENCE)
    settings = load_stage(Path(task["config"]), "train")
    # The step after the last turn ends that turn.
    steps = WARM_UP + (task["rounds"] + task["profiled"]) * task["steps"] + 1
    settings = replace(settings, optimiser=replace(settings.optimiser, iterations=steps))
    saves: list[float] = []
    Checkpoints.save = timed(Checkpoints.save, saves)
    environment = {"OMP_NUM_THREADS": "1"} if task["apart"] else os.environ
    with process_group(environment) as ranks:
        problem = InTurns(task, settings, ranks, store)
        run = Run(problem.settings, problem, ranks)
        own = str(problem.process) if task["apart"] else "all"
        run.train(Path(task["checkpoints"]) / own)
        parameters = list(problem.residuals.parameters())
        collectives = problem.collectives()
        summary = {
            "peak_bytes": problem.peak,
            "multipliers_bytes": sum(t.nbytes for t in run.scheme.state.values()),
            "points_bytes": problem.batches.interior.nbytes + problem.batches.wall.nbytes,
            "rows": {block: len(rows) for block, rows in problem.batches.batch(0).rows.items()},
            "parameters": sum(p.numel() for p in parameters),
            "terms": sum(columns for _, columns in problem.sizes.values()),
            "collectives": collectives,
            "alone": {
                name: alone(ranks, int(name.split()[1]), parameters[0].dtype)
                for name in collectives
                if name.startswith("all_reduce")
            },
            "save_seconds": saves,
        }
        problem.say("summary", summary)
        # The main process listens until every rank has spoken.
        ranks.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", type=json.loads)
    work(parser.parse_args().task)
