"""Work and memory of the first of many ranks, measured with a process group that only pretends.

PyTorch's fake process group has any number of ranks and one process: its collectives return at
once. The first rank then does its own share of the work, and none of the communication.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.distributed as dist
from memory import peak_memory
from torch.testing._internal.distributed.fake_pg import FakeStore

from aiv_rba.files.case import read_case
from aiv_rba.files.formats import create_h5, open_h5
from aiv_rba.problems.velocimetry.problem import Velocimetry
from aiv_rba.ranks.ddp import Ranks
from aiv_rba.settings import TrainSettings, load_stage
from aiv_rba.training.loop import Run

CPU = torch.device("cpu")
STEPS = 3
# Rows of which one step takes many seconds.
LONG = 30_000


@dataclass(frozen=True)
class Share:
    """What the first of `world` ranks does in a step, and holds.

    Attributes
    ----------
    collocation_points, groups
        Of the whole training; a step takes one point of every group.
    rows
        Interior points of this rank in a step.
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
    """A points file with so many groups, of which only the first rank's are written.

    They are the points of a `real` file over and over; wall groups keep their ratio. HDF5 stores
    no chunk that is not written to.
    """
    with open_h5(real, "points") as source:
        identity = source.attrs["identity"]
        points = {name: source[f"{name}/points"][:] for name in ("interior", "wall")}
    batches, real_groups = points["interior"].shape[:2]
    with create_h5(path, "points", {"identity": identity}) as file:
        for name, values in points.items():
            count = round(groups * values.shape[1] / real_groups)
            own = Ranks(0, world, CPU).share(count)
            chunks = (1, min(count, 4096), 4)
            dataset = file.create_dataset(
                f"{name}/points", (batches, count, 4), "f8", chunks=chunks
            )
            dataset[:, own] = np.take(values, np.arange(own.stop) % values.shape[1], axis=1)


def resident_memory() -> int:
    """Resident memory of this process now, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def reduced(_, bucket):  # DDP refuses annotations that are text.
    """Gradients as if they were reduced: DDP does not understand what the fake group returns."""
    future = torch.futures.Future()
    future.set_result(bucket.buffer())
    return future


def measure(settings: TrainSettings, case: Path, points: Path, world: int, steps: int) -> Share:
    """Train a few steps as the first of `world` ranks."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=world)
    ranks = Ranks(0, world, CPU)
    problem = Velocimetry(settings, read_case(case), points, ranks)
    run = Run(problem.settings, problem, ranks)
    if world > 1:
        run.optimiser.forward.register_comm_hook(None, reduced)

    def step(number: int) -> float:
        started = time.process_time()
        run.optimiser.step(problem.batch(number), run.weigh)
        return time.process_time() - started

    step(0)
    # What earlier steps have freed goes back to the system, and the record of the peak starts anew.
    ctypes.CDLL(None).malloc_trim(0)
    before = resident_memory()
    Path("/proc/self/clear_refs").write_text("5")
    seconds = [step(number + 1) for number in range(steps)]
    dist.destroy_process_group()
    batches = problem.batches
    return Share(
        collocation_points=float(batches.groups * batches.epoch_length),
        groups=batches.groups,
        world=world,
        rows=batches.sizes["navier_stokes"][0],
        seconds=median(seconds),
        multipliers=sum(values.nbytes for values in run.scheme.state.values()),
        points=batches.interior.nbytes + batches.wall.nbytes,
        step=peak_memory() - before,
    )


def main() -> None:
    """Measure all shares that fit, smallest first; print them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("case", type=Path)
    parser.add_argument("points", type=Path, help="a real points file")
    parser.add_argument("--groups", type=int, nargs="+", required=True)
    parser.add_argument("--worlds", type=int, nargs="+", required=True)
    parser.add_argument("--largest", type=int, required=True, help="rows of a rank that still fit")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    # One compilation for shares of any size.
    torch._dynamo.config.assume_static_by_default = False
    settings = load_stage(arguments.config, "train")
    cases = [(-(-g // w), g, w) for g in arguments.groups for w in arguments.worlds]
    shares = []
    with TemporaryDirectory() as folder:
        for rows, groups, world in sorted(cases):
            if rows <= arguments.largest:
                points = Path(folder) / "points.h5"
                write_points(points, arguments.points, groups, world)
                steps = 1 if rows > LONG else STEPS
                share = measure(settings, arguments.case, points, world, steps)
                shares.append(asdict(share))
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
