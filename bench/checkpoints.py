"""What checkpoints cost a real training: the default experiment on two ranks, with and without.

The two trainings take turns of as many steps as lie between two checkpoints at the default
interval. Writes results/bench_checkpoints.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import yaml
from scaling import RESULTS, ratio, spread, write_inputs
from turns import Job, Turns

NEVER = 10**9
HISTORY = 5


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interval", type=int, default=50, help="steps between checkpoints")
    parser.add_argument("--patience", type=float, default=20.0, help="seconds, for a quiet machine")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, "default")
        train = yaml.safe_load((folder / "default.yaml").read_text())["train"]
        common = Job(
            "",
            2,
            config=Path(),
            case=folder / "default_case.h5",
            points=folder / "default_points.h5",
            steps=arguments.interval,
        )
        jobs = []
        for title, every in (("with", arguments.interval), ("without", NEVER)):
            path = folder / f"{title}.yaml"
            section = train | {"checkpoint_every": every, "history_every": HISTORY}
            path.write_text(yaml.safe_dump({"train": section}))
            jobs.append(replace(common, name=title, config=path))
        load = os.getloadavg()
        with Turns(jobs, arguments.rounds, folder, arguments.patience, profiled=False) as turns:
            taken = turns.run()
            saves = turns.summary(jobs[0])[0]["save_seconds"]
    seconds = {job: [turn.per_step for turn in rounds] for job, rounds in taken.items()}
    step = median(s for turn in taken["with"] for s in turn.seconds)
    result = {
        "interval": arguments.interval,
        "seconds_per_step": {job: spread(values) for job, values in seconds.items()},
        "seconds_with_over_without": spread(ratio(seconds["with"], seconds["without"])),
        # The call that takes a copy and hands it to the thread that writes.
        "save_call_seconds": spread(saves),
        "save_call_share": median(saves) / (arguments.interval * step),
        "cores_kept_by_others": {job: spread([t.others for t in ts]) for job, ts in taken.items()},
        "load_before": load,
        "load_after": os.getloadavg(),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "bench_checkpoints.json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
