"""The target of the study of attention: which jobs it plans."""

import os
import re
import subprocess
import sys
from pathlib import Path

from studies.study import plan

REPOSITORY = Path(__file__).parents[2]


def test_a_plan_has_a_job_for_each_variant_and_one_case_for_each_twin():
    binaries = Path(sys.executable).parent
    target = f"{plan.FOLDER}/quick/finished"
    options = ("--snakefile", "workflow/study.smk", "--dry-run", "--forceall", "--cores", "2")
    planned = subprocess.run(
        [str(binaries / "snakemake"), *options, target],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    counts = {name: int(count) for name, count in re.findall(r"^(study\w*) +(\d+)$", planned, re.M)}
    runs = plan.runs_of(plan.load_plan("quick"))
    assert counts["study_runs"] == len(plan.seeds_of(plan.load_plan("quick")))
    twins = {run.twin for run in runs}
    assert counts["study_ingest"] == counts["study_points"] == len(twins)
    assert counts["study_outliers"] == 1
    assert counts["study_settings"] == 2 * len(twins)
