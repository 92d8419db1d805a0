"""Work and memory of the first of many ranks, measured with a process group that only pretends.

PyTorch's fake process group has any number of ranks and one process: its collectives return at
once. The first rank then does its own share of the work, and none of the communication, so one
process tells how long a step takes and what it holds on any number of ranks (Linux, CPU).
"""

from __future__ import annotations

import ctypes
import math
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile
from torch.testing._internal.distributed.fake_pg import FakeStore

from aiv_rba.files.case import read_case
from aiv_rba.files.formats import open_h5
from aiv_rba.files.points import create_points
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import TrainSettings
from aiv_rba.training.loop import Run

# Steps under the profiler.
PROFILED = 3


@dataclass(frozen=True)
class Share:
    """What the first of `world` ranks does in a step, and holds.

    Attributes
    ----------
    collocation_points, groups
        Of the whole training.
    rows
        Interior points of this rank in a step that takes one of every group.
    seconds
        Of a step, median; of one processor, which never waits here.
    multipliers, points
        Bytes of the multipliers and of the collocation points of this rank.
    step
        Bytes by which a step raises the resident memory at most: activations and workspace.
    """

    collocation_points: float
    groups: int
    world: int
    rows: int
    seconds: float
    multipliers: int
    points: int
    step: int


def write_points(path: Path, real: Path, groups: int, world: int) -> None:
    """A points file with so many groups, of which only those of the first of `world` ranks exist.

    They are the points of a `real` file over and over; wall groups keep their ratio. What is not
    written to takes no space on the disk.
    """
    with open_h5(real, "points") as source:
        identity = str(source.attrs["identity"])
        points = {name: source[f"{name}/points"][:] for name in ("interior", "wall")}
    batches, real_groups = points["interior"].shape[:2]
    counts = {name: round(groups * p.shape[1] / real_groups) for name, p in points.items()}
    shapes = {name: (count,) for name, count in counts.items()}
    with create_points(path, identity, batches, shapes) as writer:
        for name, values in points.items():
            own = np.arange(-(-counts[name] // world)) % values.shape[1]
            writer.write(name, 0, values[:, own].swapaxes(0, 1))


def measure(settings: TrainSettings, case: Path, points: Path, world: int, steps: int) -> Share:
    """Train a few steps as the first of `world` ranks, after one that compiles."""
    # Every share has lengths of its own, and torch compiles few graphs of one function.
    torch.compiler.reset()
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    try:
        ranks = Ranks(0, world, torch.device("cpu"))
        in_memory = replace(settings, points="memory")
        problem = Velocimetry(in_memory, read_case(case), points, ranks)
        run = Run(problem.settings, problem, ranks)

        def step(number: int) -> float:
            started = time.process_time()
            run.optimiser.step(problem.batch(number), run.weigh)
            return time.process_time() - started

        step(0)
        before = _start_anew()
        seconds = median(step(number + 1) for number in range(steps))
        peak = peak_memory()
    finally:
        dist.destroy_process_group()
    batches = problem.batches
    return Share(
        collocation_points=float(batches.points.groups * batches.points.epoch_length),
        groups=batches.points.groups,
        world=world,
        rows=batches.sizes["navier_stokes"][0],
        seconds=seconds,
        step=peak - before,
        **held(run, problem),
    )


def held(run: Run, problem: Velocimetry) -> dict[str, int]:
    """Bytes of the multipliers and of the collocation points of this rank."""
    return {
        "multipliers": sum(values.nbytes for values in run.scheme.state.values()),
        "points": problem.batches.points.nbytes,
    }


def peak_memory() -> int:
    """Largest resident memory of this process so far, bytes."""
    return _memory("VmHWM")


def _memory(entry: str) -> int:
    found = re.search(rf"{entry}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def _start_anew() -> int:
    """Give back what is free and let the record of the peak start anew; bytes that remain."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def collectives(run: Run, problem: Velocimetry) -> dict[str, dict[str, float]]:
    """Numbers and seconds of the two large all-reduces of a step: maxima of terms, and sums.

    Seconds in a step, under the profiler, include the wait for the slower rank; those `alone` are
    of the same all-reduce when all ranks start it together.
    """
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for step in range(PROFILED):
            run.optimiser.step(problem.batches.batch(step), run.weigh)
    seconds: dict[int, float] = {}
    for event in profiler.events() or ():
        if event.name == "gloo:all_reduce" and event.input_shapes:
            count = math.prod(event.input_shapes[0])
            seconds[count] = seconds.get(count, 0.0) + event.cpu_time_total / 1e6 / PROFILED
    terms = sum(columns for _, columns in problem.sizes.values())
    result: dict[str, dict[str, float]] = {}
    for what, count in (("maxima", terms), ("sums", max(seconds))):
        tensor = torch.zeros(count, dtype=next(problem.residuals.parameters()).dtype)
        alone = []
        for _ in range(20):
            run.ranks.wait()
            started = time.perf_counter()
            run.ranks.sum(tensor)
            alone.append(time.perf_counter() - started)
        result[what] = {
            "numbers": count,
            "seconds_per_step": seconds[count],
            "alone": median(alone),
        }
    return result
