"""Scripts for Slurm, with a program that tells its arguments in the place of Slurm's."""

import os
import subprocess
from pathlib import Path

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
