"""The targets of the benchmarks: which trainings they plan."""

import os
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def test_the_targets_plan_every_profile_of_both_problems():
    binaries = Path(sys.executable).parent
    targets = ("validate", "validate_paper", "records", "optimisers")
    planned = subprocess.run(
        [str(binaries / "snakemake"), "--dry-run", "--forceall", "--cores", "2", *targets],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    pages = set(re.findall(r"results/benchmarks/(\w+)/(\w+)/report.html", planned))
    profiles = ("quick", "paper", "plain", "records", "optimisers")
    assert pages == {(p, problem) for p in profiles for problem in ("allen_cahn", "helmholtz")}
