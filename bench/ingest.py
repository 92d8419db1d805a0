"""Time and memory of the ingestion of many rows; writes results/bench_ingest.json.

The bundled tracks over and over, each time with other errors of position, velocity and time, until
there are two million rows or `--rows` of them. Every run has a process of its own.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aiv_rba.files.results import Results
from aiv_rba.settings import read_experiment
from aiv_rba.stages.ingest import run as stage
from bench.measure import BUNDLED, spread, write

MIB = 2**20
# Functions of the stage that are timed.
PARTS = {
    "read": "read_tracks",
    "vessel": "make_vessel",
    "distance to the wall": "distance_near",
    "split": "validation_rows",
    "noise": "choose_noise",
    "harmonics": "choose_modes",
    "warnings": "find_warnings",
    "summary": "summarise",
    "picture": "draw",
    "case": "write_case",
}
# Errors of positions and velocities over their standard deviations.
ERROR = 1e-3


def write_tracks(path: Path, rows: int) -> None:
    """The bundled tracks until there are so many rows, none of them twice."""
    ingest = read_experiment(BUNDLED).ingest
    table = pd.read_csv(ingest.track_files[0])
    random = np.random.default_rng(0)
    measured = [name for name in ("x", "y", "u", "v") if name in table]
    scatter = ERROR * table[measured].std().to_numpy()
    tracks, period = int(table["track"].max()) + 1, ingest.period or 1.0
    for number in range(-(-rows // len(table))):
        part = table.head(rows - number * len(table)).copy()
        part["track"] += number * tracks
        part[measured] += scatter * random.normal(size=(len(part), len(measured)))
        # The same for all rows of a track, so that their steps stay.
        shift = random.uniform(0, period, tracks)[part["track"] - number * tracks]
        part["t"] = np.mod(part["t"] + shift, period)
        part.to_csv(path, index=False, header=number == 0, mode="a", float_format="%.9g")


def measure(folder: Path) -> dict[str, Any]:
    """Seconds of the ingestion of a folder's tracks and of its parts; peak memory, bytes."""
    seconds: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            started = time.perf_counter()
            result = function(*arguments, **more)
            seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - started
            return result

        return call

    for name, function in PARTS.items():
        setattr(stage, function, timed(name, getattr(stage, function)))
    settings = replace(read_experiment(BUNDLED).ingest, tracks=str(folder / "tracks.csv"))
    started, busy = time.perf_counter(), time.process_time()
    stage.ingest(settings, Results(folder / "results"))
    total, busy = time.perf_counter() - started, time.process_time() - busy
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    others = total - sum(seconds.values())
    return {"seconds": total, "processor": busy, "peak": peak, "parts": seconds | {"rest": others}}


def run(rows: float = 2e6, times: int = 3) -> None:
    """Ingest so many rows so many times."""
    with (
        tempfile.TemporaryDirectory() as name,
        # A process for each run.
        ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as fresh,
    ):
        folder = Path(name)
        write_tracks(folder / "tracks.csv", int(rows))
        found = [fresh.submit(measure, folder).result() for _ in range(times)]
        size = (folder / "tracks.csv").stat().st_size
    write(
        "bench_ingest",
        {
            "rows": int(rows),
            "file_mib": size / MIB,
            "seconds": spread([one["seconds"] for one in found]),
            "processor_seconds": spread([one["processor"] for one in found]),
            "peak_mib": max(one["peak"] for one in found) / MIB,
            "seconds_of_parts": {
                part: spread([one["parts"][part] for one in found])["median"]
                for part in found[0]["parts"]
            },
        },
    )
