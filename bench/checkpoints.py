"""What checkpoints cost a real training: the default experiment on two ranks, with and without.

The two trainings take turns of as many steps as lie between two checkpoints at the default
interval. Writes results/bench_checkpoints.json.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.inputs import write_inputs
from bench.measure import ratios, spread, write
from bench.turns import Job, take_turns

NEVER = 10**9


def run(rounds: int = 3, interval: int = 50) -> None:
    """Time so many rounds of `interval` steps."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs, _ = write_inputs(folder / "inputs")
        jobs = []
        for name, every in (("with", interval), ("without", NEVER)):
            settings = replace(inputs.settings, checkpoint_every=every, history_every=5)
            jobs.append(Job(name, 2, replace(inputs, settings=settings), interval))
        taken, told = take_turns(jobs, folder, rounds)
    saves = told["with"][0]["save_seconds"]
    seconds = {job: [turn.seconds for turn in turns] for job, turns in taken.items()}
    result = {
        "interval": interval,
        "seconds_per_step": {job: spread(values) for job, values in seconds.items()},
        "seconds_with_over_without": spread(ratios(seconds["with"], seconds["without"])),
        # The call that takes a copy and hands it to the thread that writes.
        "save_call_seconds": spread(saves),
        "save_call_share": median(saves) / (interval * median(seconds["with"])),
        "cores_kept_by_others": {job: spread([t.others for t in ts]) for job, ts in taken.items()},
    }
    write("bench_checkpoints", result)
