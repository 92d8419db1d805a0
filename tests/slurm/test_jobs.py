"""Jobs on a real Slurm cluster of two virtual nodes: the workflow, two nodes, requeueing."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from aiv_rba.files.records import read_record
from tests.distributed.test_training import NETWORK, OPTIMISERS, assert_equal, result, train
from tests.synthetic import write_tube_experiment
from tests.training_case import write_config, write_training_case

pytestmark = pytest.mark.slurm
REPOSITORY = Path(__file__).parents[2]
# What the scripts ask for by default suits GPU nodes; the virtual ones have two cores each.
SMALL = ("--ntasks-per-node=1", "--gpus-per-node=1", "--cpus-per-task=1", "--mem=2000")


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like the repository's, so that nothing is written there."""
    for name in ("Snakefile", "workflow", "slurm", "data", "environment.yml"):
        (tmp_path / name).symlink_to(REPOSITORY / name)
    return tmp_path


def run(folder, *command, **options):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, **options
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr + logs(folder)
    return finished.stdout


def logs(folder):
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("slurm-*.out"))


def squeue(job, columns):
    command = ("squeue", "--noheader", "--jobs", job, "--format", columns)
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def wait_until(condition, folder, job):
    deadline = time.monotonic() + 180
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(logs(folder) + run(folder, "scontrol", "show", "job", job))
        time.sleep(0.05)


def submit_workflow(folder, *arguments):
    """Run slurm/run.sbatch to its end."""
    # The virtual cluster has no accounting.
    options = ("--slurm-status-command", "squeue", "--slurm-no-account")
    quick = (
        "--slurm-init-seconds-before-status-checks",
        "2",
        "--seconds-between-status-checks",
        "2",
    )
    command = ("sbatch", "--wait", "slurm/run.sbatch", *arguments)
    run(folder, *command, *options, *quick, timeout=400)


def give_train(folder, **resources):
    """Let the profile ask for what the virtual nodes have, and for other resources of train."""
    (folder / "slurm").unlink()
    shutil.copytree(REPOSITORY / "slurm", folder / "slurm")
    path = folder / "slurm/profile/config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["set-threads"]["train"] = 1
    profile["set-resources"]["train"] |= resources
    path.write_text(yaml.safe_dump(profile))


def test_the_workflow_goes_through_the_executor(checkout):
    give_train(checkout)
    submit_workflow(checkout, str(write_tube_experiment(checkout / "experiment")))
    summary = json.loads((checkout / "results" / "tube" / "summary.json").read_text())
    assert summary["world_size"] == 2
    assert (checkout / "results" / "tube" / "fields" / "volume.pvd").is_file()
    assert logs(checkout).count("has been submitted with SLURM jobid") == 6


def test_the_workflow_trains_over_two_nodes(checkout):
    """By the number of nodes in the profile; ingestion and points have been made before."""
    give_train(checkout, nodes=2)
    experiment = write_tube_experiment(checkout / "experiment")
    submit_workflow(checkout, str(experiment), "results/tube/model.pt")
    training = read_record(checkout / "results/tube/records/train.json")["training"]
    assert training["world_size"] == 4
    command = ("scontrol", "--oneliner", "show", "job")
    jobs = run(checkout, *command).splitlines()
    assert sum("NodeList=n[1-2]" in job and "NumTasks=4" in job for job in jobs) == 1


def test_a_benchmark_goes_through_the_executor(checkout):
    """A small profile by the command that the README gives for the paper's."""
    (checkout / "workflow").unlink()
    shutil.copytree(REPOSITORY / "workflow", checkout / "workflow")
    method = {
        "points": 64,
        "network": {"layers": 1, "width": 5},
        "optimiser": {"name": "adam", "iterations": 10, "compile": False},
    }
    profile = yaml.safe_dump({"helmholtz": {"methods": {"rba": method}}})
    (checkout / "workflow/config/validation/small.yaml").write_text(profile)
    page = "results/validation/small/helmholtz/report.html"
    submit_workflow(checkout, "workflow/config/perivascular.yaml", page)
    assert (checkout / page).is_file()
    found = json.loads((checkout / page).with_name("rba.json").read_text())
    assert found["world_size"] == 2
    assert found["iterations"] == 10


def write_results(folder, **train_options):
    """The folder that train.sbatch is given, with a small case."""
    results = folder / "results" / "small"
    (results / "settings").mkdir(parents=True)
    write_training_case(results)
    write_config(results, network=NETWORK, history_every=1, **train_options)
    shutil.move(results / "train.yaml", results / "settings" / "train.yaml")
    return results


def undisturbed(folder, results):
    """The same training by torchrun, without a cluster."""
    shutil.copy(results / "settings" / "train.yaml", folder)
    for name in ("case.h5", "points.h5"):
        shutil.copy(results / name, folder)
    return train(folder, "alone", 2)


def test_two_nodes_train_like_one(checkout):
    results = write_results(checkout, optimiser=OPTIMISERS["gauss_newton"] | {"iterations": 12})
    command = ("sbatch", "--wait", "--parsable", *SMALL, "slurm/train.sbatch", str(results))
    job = run(checkout, *command, timeout=200).strip()
    assert " NodeList=n[1-2]" in run(checkout, "scontrol", "show", "job", job)
    assert_equal(undisturbed(checkout, results), result(checkout, "results/small"), 1e-10)
    first, second = ((results / "logs" / "ranks" / f"{rank}.out").read_text() for rank in (0, 1))
    assert "12 of 12" in first
    assert "12 of 12" not in second


def test_every_task_sees_the_gpus_of_its_node_and_the_nodes_of_its_step(checkout):
    """By a program in the place of aiv-rba, which tells what the ranks would be told."""
    program = checkout / ".venv/bin/aiv-rba"
    program.parent.mkdir(parents=True)
    told = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "SLURM_STEP_NODELIST")
    program.write_text("#!/bin/sh\necho " + " ".join(f"${name}" for name in told) + "\n")
    program.chmod(0o755)
    asked = ("--ntasks-per-node=1", "--gpus-per-node=2", "--cpus-per-task=2", "--mem=1000")
    run(checkout, "sbatch", "--wait", *asked, "slurm/train.sbatch", "results/none", timeout=100)
    for rank in (0, 1):
        found = (checkout / f"results/none/logs/ranks/{rank}.out").read_text()
        assert found.split() == ["2", "0,1", "n[1-2]"]


def test_a_signalled_job_is_requeued_and_ends_with_the_right_answer(checkout):
    options = OPTIMISERS["gauss_newton"] | {"iterations": 600}
    results = write_results(checkout, optimiser=options, checkpoint_every=50)
    job = run(checkout, "sbatch", "--parsable", *SMALL, "slurm/train.sbatch", str(results)).strip()
    wait_until(lambda: list(results.glob("checkpoints/*/step_*.pt")), checkout, job)
    # As --signal does before the time limit: every step of the job, not the batch script.
    run(checkout, "scancel", "--signal=USR1", job)
    wait_until(lambda: squeue(job, "%T %r") == "PENDING BeginTime", checkout, job)
    # Slurm holds a requeued job back for two minutes, to let its node settle. A few seconds do; a
    # job released at once may meet what is left of its predecessor on the node, and fail.
    time.sleep(10)
    run(checkout, "scontrol", "update", f"JobId={job}", "StartTime=now")
    wait_until((results / "model.pt").is_file, checkout, job)
    told = (results / "logs" / "ranks" / "0.out").read_text()
    assert "stopped at step" in told
    assert "resuming at step" in told
    assert "Restarts=1" in run(checkout, "scontrol", "show", "job", job)
    assert_equal(undisturbed(checkout, results), result(checkout, "results/small"), 1e-10)


def test_the_profile_asks_for_a_gpu_per_rank():
    profile = yaml.safe_load((REPOSITORY / "slurm/profile/config.yaml").read_text())
    train = profile["set-resources"]["train"]
    assert train["gres"] == f"gpu:{train['tasks_per_node']}"
    assert (
        profile["set-resources"]["validate_problem"]["gpu"]
        == (profile["set-threads"]["validate_problem"])
    )
