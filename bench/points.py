"""Time and memory of collocation on 1 and 2 MPI processes; writes results/bench_points.json.

The paper's 4.98e6 interior and 5.34e5 wall points round the bundled wall; with `--points 1e8` more
patches of the wall, each with as many points. Every process must stay below the bound that
docs/scaling.md states; the command fails where one does not.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import yaml
from memory import peak_memory

from aiv_rba.settings import PointsSettings, load_stage

RESULTS = Path("results")
CONFIG = Path("workflow/config/paper.yaml")
BINARIES = Path(sys.executable).parent


def run(*command: str) -> tuple[float, str]:
    """Seconds and standard error of a command."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PATH": f"{BINARIES}:{os.environ['PATH']}",
    }
    started = time.perf_counter()
    finished = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
    if finished.returncode:
        sys.exit(finished.stderr)
    return time.perf_counter() - started, finished.stderr


def scaled(points: float | None) -> PointsSettings:
    """The paper's partition of the wall, or one finer in both directions with so many points."""
    paper = load_stage(CONFIG, "points")
    if points is None:
        return paper
    finer = math.sqrt(points / count(paper)[0])
    return replace(paper, n_theta=round(finer * paper.n_theta), n_y=round(finer * paper.n_y))


def count(section: PointsSettings) -> tuple[int, int]:
    """Interior and wall points."""
    patches = section.n_theta * section.n_y * section.per_group
    return patches * section.n_r * section.n_t, patches * section.wall_n_t


def bound(section: PointsSettings, ranks: int) -> float:
    """Most memory of a process in bytes: libraries, its slab, the samples of the wall.

    The slab is this process's share of the points, 32 bytes each. Every process samples the wall
    and sorts the samples into patches, which takes 120 bytes each.
    """
    slab = 32 * sum(count(section)) / ranks
    samples = section.per_group * section.n_theta * section.n_y
    return 300 * 2**20 + 1.02 * slab + 120 * samples


def main() -> None:
    """Time both process counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=float, help="interior points; the paper's by default")
    parser.add_argument("--times", type=int, default=3, help="runs of each process count")
    arguments = parser.parse_args()
    section = scaled(arguments.points)
    interior, wall = count(section)
    result = {"interior_points": interior, "wall_points": wall}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = f"{folder}/case.h5"
        experiment = folder / "points.yaml"
        experiment.write_text(yaml.safe_dump({"points": asdict(section)}))
        report = ("--summary", f"{folder}/s.txt", "--picture", f"{folder}/p.png")
        run("aiv-rba", "ingest", "--config", str(CONFIG), "--case", case, *report)
        for ranks in (1, 2):
            seconds, peaks = [], []
            for _ in range(arguments.times):
                elapsed, _ = run(
                    *("mpiexec", "-n", str(ranks), "--oversubscribe", sys.executable, __file__),
                    *("stage", str(experiment), case, f"{folder}/points.h5"),
                )
                seconds.append(elapsed)
                for peak in folder.glob("peak_*"):
                    peaks.append(float(peak.read_text()))
                    peak.unlink()
            result[f"{ranks} processes"] = {
                "seconds": seconds,
                "slab_mib": 32 * (interior + wall) / ranks / 2**20,
                "peak_mib_of_a_process": max(peaks),
                "bound_mib": bound(section, ranks) / 2**20,
                "file_mib": (folder / "points.h5").stat().st_size / 2**20,
            }
    out = RESULTS / ("bench_points.json" if arguments.points is None else "bench_points_large.json")
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))
    for ranks in (1, 2):
        found = result[f"{ranks} processes"]
        if found["peak_mib_of_a_process"] > found["bound_mib"]:
            sys.exit(f"bench/points.py: {ranks} processes: the peak is above the bound")


def stage(experiment: str, case: str, points: str) -> None:
    """The stage itself, leaving the peak memory of this process beside the points."""
    from aiv_rba.cli import main as cli

    picture = str(Path(points).with_suffix(".png"))
    files = ("--case", case, "--points", points, "--picture", picture)
    status = cli(["points", "--config", experiment, *files])
    Path(points).with_name(f"peak_{os.getpid()}").write_text(str(peak_memory() / 2**20))
    sys.exit(status)


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        stage(*sys.argv[2:])
    else:
        main()
