"""Train a variant of the study on a twin with each of its seeds, and measure every training.

All in one process: to start one takes three seconds, and to compile the step of Adam four more.
Only what is missing, or was made from something else, is run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import yaml

from aiv_rba.files.formats import atomic_path, fingerprint
from studies.study.measure import write_measures
from studies.study.plan import Run, data, experiment
from studies.study.train import train_run


def main() -> int:
    """Train and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("twin", help="name of the twin")
    parser.add_argument("variant", help="overlays joined by hyphens")
    parser.add_argument("--seeds", type=int, nargs="+", required=True)
    parser.add_argument("--versions", nargs="*", default=[], help="of the methods that are used")
    arguments = parser.parse_args()
    for seed in arguments.seeds:
        finish(Run(arguments.twin, arguments.variant, seed), arguments.versions)
    return 0


def finish(run: Run, versions: list[str]) -> None:
    """Train and measure one run, unless that has been done from the same files and settings."""
    truth = Path(experiment(run.twin)["score"]["truth"])
    shared, results = data(run.twin), run.results
    made_from = {
        "settings": run.settings(),
        "files": [fingerprint(path) for path in (shared.case, shared.points, truth)],
        "versions": versions,
    }
    measured = json.loads(run.measures.read_text()) if run.measures.is_file() else {}
    if measured.get("made_from") == made_from:
        return
    settings = results.settings("train")
    settings.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(settings) as path:
        path.write_text(yaml.safe_dump({"train": run.settings()}))
    for name in ("case", "points"):
        link: Path = getattr(results, name)
        link.unlink(missing_ok=True)
        link.hardlink_to(getattr(shared, name))
    train_run(results, truth)
    write_measures(results, truth, made_from)
    shutil.rmtree(results.checkpoints, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
