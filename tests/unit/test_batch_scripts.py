"""Scripts for Slurm, with a program that tells its arguments in the place of Slurm's."""

import ast
import os
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

REPOSITORY = Path(__file__).parents[2]


def test_every_rank_gets_the_cores_that_the_job_has_for_a_task(tmp_path):
    """Slurm itself does not hand them on, which only shows where it binds tasks to cores."""
    program = tmp_path / ".venv/bin/srun"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS threads: $*" > arguments\n')
    program.chmod(0o755)
    (tmp_path / "results/logs/ranks").mkdir(parents=True)
    (tmp_path / "results/logs/ranks/0.out").touch()
    command = ("bash", REPOSITORY / "slurm/train.sbatch", "results")
    subprocess.run(command, cwd=tmp_path, env=os.environ | {"SLURM_CPUS_PER_TASK": "3"}, check=True)
    told = (tmp_path / "arguments").read_text()
    assert told.startswith("3 threads: ")
    assert " --cpus-per-task=3 " in told
    assert told.endswith(" aiv-rba train results\n")


@pytest.mark.parametrize(
    ("nodes", "tasks_per_node", "told"),
    [
        (1, 1, "1 threads: aiv-rba train results/a --ranks auto --cores 3"),
        (1, 2, "3 threads: srun --wait=60 --nodes=1 --ntasks-per-node=2 --cpus-per-task=3 aiv-rba"),
        (4, 1, "3 threads: srun --wait=60 --nodes=4 --ntasks-per-node=1 --cpus-per-task=3 aiv-rba"),
    ],
)
def test_the_rule_train_starts_a_rank_for_every_task(tmp_path, nodes, tasks_per_node, told):
    """On however many nodes they are."""
    rule = (REPOSITORY / "workflow/rules/train.smk").read_text()
    shell = ast.literal_eval(f"({re.search('shell:(.*)', rule, re.DOTALL)[1]})")
    for name in ("srun", "aiv-rba"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$OMP_NUM_THREADS threads: ${0##*/} $*"\n')
        (tmp_path / name).chmod(0o755)
    command = shell.format(
        resources=SimpleNamespace(nodes=nodes, tasks_per_node=tasks_per_node),
        params=SimpleNamespace(folder="results/a"),
        threads=3,
    )
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    started = subprocess.run(
        ("bash", "-c", command), env=environment, capture_output=True, text=True, check=True
    )
    assert started.stdout.startswith(told)
