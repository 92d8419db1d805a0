"""Time and memory of collocation on 1 and 2 MPI processes; writes results/bench_points.json.

The paper's 4.98e6 interior and 5.34e5 wall points round the bundled wall; with `--points 1e8` more
patches of the wall, each with as many points. Every process must stay below the bound that
docs/large-data.md states; the command fails where one does not.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from aiv_rba.files.results import Results
from aiv_rba.ranks.plan import collocation_memory, collocation_points
from aiv_rba.settings import PointsSettings, load_stage
from bench.measure import BUNDLED, PAPER, write

MIB = 2**20


def launch(*command: str) -> tuple[float, int]:
    """Seconds of a command with one thread a process; most memory of its processes, bytes.

    The memory is that of all commands that this process has run so far.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    started = time.perf_counter()
    finished = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    most = 1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return time.perf_counter() - started, most


def scaled(paper: PointsSettings, points: float) -> PointsSettings:
    """The partition of the wall, or one finer in both directions with so many interior points."""
    finer = math.sqrt((points or collocation_points(paper)[0]) / collocation_points(paper)[0])
    return replace(paper, n_theta=round(finer * paper.n_theta), n_y=round(finer * paper.n_y))


def measure(section: PointsSettings, ranks: int, times: int) -> dict[str, Any]:
    """Seconds of so many runs, and the largest peak of their processes."""
    with (
        tempfile.TemporaryDirectory() as name,
        # A process for each command.
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh,
    ):
        overlay = Path(name) / "points.yaml"
        overlay.write_text(yaml.safe_dump({"points": asdict(section)}))
        launch("aiv-rba", "init", str(BUNDLED), str(PAPER), str(overlay), "--results", name)
        results = Results(Path(name) / "paper")
        launch("aiv-rba", "ingest", str(results.folder))
        mpiexec = ("mpiexec", "-n", str(ranks), "--oversubscribe")
        command = (*mpiexec, "aiv-rba", "points", str(results.folder))
        found = [fresh.submit(launch, *command).result() for _ in range(times)]
        return {
            "seconds": [seconds for seconds, _ in found],
            "peak_mib_of_a_process": max(most for _, most in found) / MIB,
            "bound_mib": collocation_memory(section) / MIB,
            "file_mib": results.points.stat().st_size / MIB,
        }


def run(points: float = 0.0, times: int = 3) -> None:
    """Run every number of processes so many times, with the paper's points or so many."""
    section = scaled(load_stage(PAPER, "points"), points)
    interior, wall = collocation_points(section)
    found = {f"{n} processes": measure(section, n, times) for n in (1, 2)}
    name = "bench_points_large" if points else "bench_points"
    write(name, {"interior_points": interior, "wall_points": wall} | found)
    for ranks, row in found.items():
        if row["peak_mib_of_a_process"] > row["bound_mib"]:
            sys.exit(f"bench points: {ranks}: the peak is above the bound")
