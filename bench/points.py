"""Time and memory of collocation at the paper's scale; writes results/bench_points.json.

4.98e6 interior and 5.34e5 wall points round the bundled wall, on 1 and 2 MPI processes.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path("results/bench_points.json")
CONFIG = "workflow/config/paper.yaml"
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


def main() -> None:
    """Time both process counts, three times each."""
    result = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case = f"{folder}/case.h5"
        report = ("--summary", f"{folder}/s.txt", "--picture", f"{folder}/p.png")
        run("aiv-rba", "ingest", "--config", CONFIG, "--case", case, *report)
        for ranks in (1, 2):
            seconds, peaks = [], []
            for _ in range(3):
                elapsed, _ = run(
                    *("mpiexec", "-n", str(ranks), "--oversubscribe"),
                    *(sys.executable, __file__, "stage", case, f"{folder}/points.h5"),
                )
                seconds.append(elapsed)
                peaks += [float(p.read_text()) for p in folder.glob("peak_*")]
            result[f"{ranks} processes"] = {
                "seconds": seconds,
                "peak_mib_of_a_process": max(peaks),
                "file_mib": (folder / "points.h5").stat().st_size / 2**20,
            }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def stage(case: str, points: str) -> None:
    """The stage itself, leaving the peak memory of this process beside the points."""
    from aiv_rba.cli import main as cli

    picture = str(Path(points).with_suffix(".png"))
    files = ("--case", case, "--points", points, "--picture", picture)
    status = cli(["points", "--config", CONFIG, *files])
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if peak:
        Path(points).with_name(f"peak_{os.getpid()}").write_text(str(int(peak[1]) / 1024))
    sys.exit(status)


if __name__ == "__main__":
    if sys.argv[1:2] == ["stage"]:
        stage(*sys.argv[2:])
    else:
        main()
