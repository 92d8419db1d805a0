"""Trainings that are stopped, killed, misled or left alone: they end soon, say why, and resume."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
import torch

from aiv_rba.cli import main
from aiv_rba.files.records import read_record
from tests.distributed.test_training import (
    NETWORK,
    OPTIMISERS,
    assert_equal,
    launch,
    result,
    train_in,
)
from tests.rank_pool import free_port
from tests.training_case import arguments, write_config, write_training_case

# Random kills of one rank in a row; `make soak` asks for twenty.
KILLS = int(os.environ.get("KILLS", "3"))
STEPS = 100


def write(folder):
    write_training_case(folder)
    write_config(
        folder,
        network=NETWORK,
        optimiser=OPTIMISERS["gauss_newton"] | {"iterations": STEPS},
        history_every=1,
        checkpoint_every=10,
    )
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, pools):
    return train_in(pools, write(tmp_path_factory.mktemp("undisturbed")), "run", 2)


def launch_ranks(folder, run, ranks):
    """Start every rank by itself, as srun does, so that signals reach it alone."""
    common = os.environ | {"OMP_NUM_THREADS": "1", "SLURM_STEP_NUM_TASKS": str(ranks)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "aiv_rba.cli", *arguments(folder, run)],
            env=common | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]


def checkpoints(folder, run):
    return set((folder / run).glob("checkpoints/*/step_*.pt"))


def wait_for_checkpoint(folder, run, process=None, known=frozenset()):
    """Wait for one that is not known yet, or for the end of a process."""
    deadline = time.monotonic() + 120
    while not checkpoints(folder, run) - known:
        if process is not None and process.poll() is not None:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_signalled_run_saves_its_step_and_resumes(folder, pools, undisturbed):
    ranks = launch_ranks(folder, "stopped", 2)
    wait_for_checkpoint(folder, "stopped")
    # One rank alone receives the signal: all of them stop after the same step.
    ranks[1].send_signal(signal.SIGUSR1)
    errors = [rank.communicate(timeout=60)[1] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [75, 75], errors
    newest = max((folder / "stopped").glob("checkpoints/*/step_*.pt"))
    assert f"stopped at step {int(newest.stem[5:])}; run again" in errors[0]
    assert not (folder / "stopped" / "model.pt").exists()
    assert_equal(undisturbed, train_in(pools, folder, "stopped", 2), 1e-12)


def test_ctrl_c_saves_the_step_and_says_so_last(folder, pools, undisturbed):
    process = launch(folder, "stopped", 2)
    wait_for_checkpoint(folder, "stopped")
    # A terminal sends it to the whole group.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 75, errors
    assert re.search(r"stopped at step \d+; run again to go on", errors.splitlines()[-1]), errors
    assert_equal(undisturbed, train_in(pools, folder, "stopped", 2), 1e-12)


def test_a_killed_rank_ends_the_job_which_resumes(folder, pools, undisturbed):
    chance = random.Random(7)
    kills = 0
    while kills < KILLS:
        known = checkpoints(folder, "killed")
        process = launch(folder, "killed", 2)
        # A resumed run has old ones: what it is killed in is a step of its own.
        wait_for_checkpoint(folder, "killed", process, known)
        time.sleep(chance.uniform(0, 1))
        pattern = f"aiv_rba.cli train.*{folder / 'killed'}"
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True)
        # The launcher carries the same words in its own command line.
        workers = [int(pid) for pid in found.stdout.split() if int(pid) != process.pid]
        if len(workers) < 2 or (folder / "killed" / "model.pt").exists():
            # It got to its end before the next kill: it was right, and another one begins.
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
            assert_equal(undisturbed, result(folder, "killed"), 1e-12)
            shutil.rmtree(folder / "killed")
            continue
        os.kill(chance.choice(workers), signal.SIGKILL)
        killed = time.monotonic()
        _, errors = process.communicate(timeout=60)
        assert time.monotonic() - killed < 60
        assert process.returncode != 0
        assert re.search(r"error: rank \d was ended by SIGKILL", errors.splitlines()[-1])
        kills += 1
    assert_equal(undisturbed, train_in(pools, folder, "killed", 2), 1e-12)


def test_an_error_that_all_ranks_meet_is_told_once(folder):
    (folder / "points.h5").unlink()
    process = launch(folder, "run", 2)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.count("expected an aiv_rba/points file") == 1


def test_an_unreachable_master_is_named(folder, capsys, monkeypatch):
    write_config(folder, network=NETWORK, timeouts={"join_minutes": 1 / 30})
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "9")
    assert main(arguments(folder)) == 2
    error = capsys.readouterr().err
    assert "rank 1 of 2 could not join the others at 127.0.0.1:9 within 2 s" in error


def test_more_ranks_than_groups_are_refused(tmp_path):
    write_training_case(tmp_path, groups=5, wall_groups=1)
    write_config(tmp_path, network=NETWORK, optimiser=OPTIMISERS["gauss_newton"])
    process = launch(tmp_path, "run", 2)
    _, errors = process.communicate(timeout=60)
    assert errors.count("1 groups for 2 ranks, expected at least one group per rank") == 1


def test_a_residual_that_is_not_finite_is_named(folder, capsys):
    adam = {"name": "adam", "learning_rate": 1e200, "final_learning_rate": 1e199, "compile": False}
    write_config(folder, network=NETWORK, optimiser=adam | {"iterations": 9}, checkpoint_every=1)
    assert main(arguments(folder)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "step 2: residual " in error or "step 3: residual " in error
    assert "of navier_stokes, at (" in error or "of no_slip, at (" in error
    assert list(folder.glob("run/checkpoints/*/step_*.pt"))
    assert not (folder / "run" / "model.pt").exists()


def adam_at(rate):
    adam = {"name": "adam", "compile": False, "iterations": 6}
    return adam | {"learning_rate": rate, "final_learning_rate": rate / 2}


def restarts_of(folder, run="run"):
    record = read_record(folder / run / "records" / "train.json")
    return record["training"]["restarts"]


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_restart_is_a_training_with_shorter_steps(folder, pools, ranks):
    """What an earlier optimiser leaves behind, such as its gradients, must not be felt."""
    rate = 2e152
    write_config(folder, network=NETWORK, optimiser=adam_at(rate), restarts=9)
    restarted = train_in(pools, folder, "restarted", ranks)
    count = restarts_of(folder, "restarted")
    assert count > 0
    write_config(folder, network=NETWORK, optimiser=adam_at(rate / 2**count))
    assert_equal(restarted, train_in(pools, folder, "shorter", ranks), rtol=0)
    assert restarts_of(folder, "shorter") == 0


def test_a_user_may_allow_restarts_after_the_failure(folder, capsys):
    """A checkpoint from which the first step fails is of no use; the one before it is."""
    section = {"network": NETWORK, "optimiser": adam_at(2e152), "checkpoint_every": 1}
    write_config(folder, **section, restarts=1)
    assert main(arguments(folder)) == 2
    error = capsys.readouterr().err
    assert "restart 1 of 1 with steps half as long" in error
    assert "or allow more restarts; the last checkpoint is kept" in error.splitlines()[-1]
    write_config(folder, **section, restarts=9)
    assert main(arguments(folder)) == 0
    out = capsys.readouterr().out
    assert "resuming at step 2" in out
    assert "resuming at step 1" in out
    assert 1 < restarts_of(folder) <= 9


def test_all_ranks_go_back_together(folder):
    """Though the residual is not finite on one of them only."""
    order = torch.randperm(4, generator=torch.Generator().manual_seed(0))
    with h5py.File(folder / "points.h5", "r+") as file:
        # The last group, which the second rank owns, at the third step.
        file["interior/points"][int(order[2]), -1] = np.nan
    write_config(folder, network=NETWORK, optimiser=adam_at(1e-3), restarts=2)
    process = launch(folder, "run", 2)
    _, errors = process.communicate(timeout=120)
    assert process.returncode != 0
    for restart in ("restart 1 of 2", "restart 2 of 2", "allow more restarts"):
        told = [line for line in errors.splitlines() if restart in line]
        assert len(told) == 1, errors
        assert "step 3: residual momentum_x is nan in rank 1's row 10 of" in told[0], errors


def test_parameters_that_are_not_finite_are_never_saved(folder, capsys, monkeypatch):
    def overflow(adam):
        adam.param_groups[0]["params"][0].data.fill_(torch.inf)

    monkeypatch.setattr(torch.optim.Adam, "step", overflow)
    write_config(folder, network=NETWORK, optimiser=adam_at(1e-3), checkpoint_every=1)
    assert main(arguments(folder)) == 2
    assert "step 1: found a number in the network's" in capsys.readouterr().err
    assert not list(folder.glob("run/checkpoints/*/step_*.pt"))


def test_history_goes_on_where_it_stopped(folder, pools):
    """A resumed run writes every row once."""
    ranks = launch_ranks(folder, "run", 1)
    wait_for_checkpoint(folder, "run")
    ranks[0].send_signal(signal.SIGTERM)
    assert ranks[0].wait(60) == 75
    train_in(pools, folder, "run", 1)
    assert list(result(folder, "run")[0].step) == list(range(1, STEPS + 1))
