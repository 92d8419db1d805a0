"""Steps of the default training against those of another commit, on one and two ranks.

The trainings of both commits take turns, each on the inputs that its own stages make. Writes
results/bench_change.json.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from bench.inputs import write_inputs
from bench.measure import ratios, spread, write
from bench.turns import Job, Turn, importing_from, quiet_rounds, take_turns

# Steps of a turn; a row of the history is due at every fifth one.
STEPS = 5
RANKS = (1, 2)


def unpacked(commit: str, folder: Path) -> Path:
    """The folder of the package's sources at a commit of this repository."""
    archive = folder / "source.tar"
    subprocess.run(["git", "archive", f"--output={archive}", commit, "src"], check=True)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder / "src"


def jobs_of(name: str, source: Path | None, folder: Path) -> list[Job]:
    """The default training on each number of ranks, with the inputs that the same sources make."""
    with ProcessPoolExecutor(1, get_context("spawn")) as one, importing_from(source):
        inputs, _ = one.submit(write_inputs, folder / name).result()
    return [Job(f"{name}_{n}", n, inputs, STEPS, source=source) for n in RANKS]


def summary(
    taken: Mapping[str, Sequence[Turn]], told: Mapping[str, Sequence[dict[str, Any]]]
) -> dict[str, Any]:
    """Seconds, ratios and errors of the rounds that other programs did not disturb."""
    counted = quiet_rounds(taken)
    seconds = {job: [turns[k].seconds for k in counted] for job, turns in taken.items()}
    work = {job: [turns[k].work for k in counted] for job, turns in taken.items()}
    result: dict[str, Any] = {
        "rounds_counted": counted,
        "seconds_per_step": {job: spread(values) for job, values in seconds.items()},
        "errors": {job: ranks[0]["errors"] for job, ranks in told.items()},
        "turns": {job: [turn._asdict() for turn in turns] for job, turns in taken.items()},
    }
    for what, values in (("throughput", seconds), ("work", work)):
        result[f"{what}_now_over_before"] = {
            str(n): spread(ratios(values[f"before_{n}"], values[f"now_{n}"])) for n in RANKS
        }
        result[f"{what}_two_ranks_over_one"] = {
            name: spread(ratios(values[f"{name}_1"], values[f"{name}_2"]))
            for name in ("before", "now")
        }
    return result


def run(commit: str = "2f73834", rounds: int = 4) -> None:
    """Compare so many rounds of the present sources and of those of a commit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        jobs = [
            *jobs_of("before", unpacked(commit, folder), folder),
            *jobs_of("now", None, folder),
        ]
        found = summary(*take_turns(jobs, folder, rounds))
    write("bench_change", {"commit": commit} | found)
