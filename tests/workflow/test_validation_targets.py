"""The targets of the validation: which trainings they plan."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
PROFILES = "workflow/config/validation"


def test_the_targets_plan_every_profile_on_its_problems():
    binaries = Path(sys.executable).parent
    names = {path.stem for path in (REPOSITORY / PROFILES).glob("*.yaml")}
    targets = [f"results/validation/{name}/finished" for name in names]
    command = (str(binaries / "snakemake"), "--dry-run", "--forceall", "--cores", "2")
    planned = subprocess.run(
        [*command, *targets, "validate", "validate_paper"],
        cwd=REPOSITORY,
        env=os.environ | {"PATH": f"{binaries}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    pages = set(re.findall(r"results/validation/(\w+)/(\w+)/report.html", planned))
    sections = {n: yaml.safe_load((REPOSITORY / PROFILES / f"{n}.yaml").read_text()) for n in names}
    assert pages == {(name, problem) for name, section in sections.items() for problem in section}
    assert len(names) == 6
