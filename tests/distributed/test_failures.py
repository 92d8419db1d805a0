"""One rank that fails, lags or has no device: the others end soon, and say why."""

import os
import subprocess
import sys

import pytest
from torch.distributed.elastic.multiprocessing.api import ProcessFailure
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from aiv_rba.ranks import launch
from tests.rank_pool import free_port
from tests.training_case import arguments, write_tiny_training

# Run by every rank; the programs follow it.
START = """
import os, time
import torch
import torch.distributed as dist
from aiv_rba.errors import RankError, UserError
from aiv_rba.ranks import ddp, failures
from aiv_rba.ranks.ddp import process_group
from aiv_rba.settings import TimeoutSettings
rank = int(os.environ["RANK"])
"""
# One rank fails alone, in the middle of the training.
FAILS_ALONE = """
from aiv_rba.cli import main
from aiv_rba.problems.velocimetry.problem import Velocimetry
batch = Velocimetry.batch
def failing(self, step):
    if rank == 1 and step == 2:
        raise MemoryError("this rank is full")
    return batch(self, step)
Velocimetry.batch = failing
raise SystemExit(main({arguments}))
"""
# One rank is slow, first while the others allow for it, then while they do not.
LAGS = """
def wait(ranks, seconds):
    time.sleep(rank * seconds)
    ranks.sum(torch.ones(1))
timeouts = TimeoutSettings(join_minutes=1, compile_minutes=1, step_minutes=1 / 60)
with process_group("auto", timeouts) as ranks:
    wait(ranks, 2)
    with ranks.compiling():
        wait(ranks, 2)
    print("compiled", flush=True)
    wait(ranks, 2)
"""
# The first rank has done its part long before the other one.
ENDS = """
with process_group() as ranks:
    time.sleep(2 * rank)
"""
# One rank finds no GPU of its own.
HAS_NO_GPU = """
torch.cuda.device_count = lambda: 1
torch.cuda.set_device = lambda device: None
torch.cuda.get_device_properties = lambda device: type("Fake", (), {"uuid": "GPU-7"})
with process_group():
    pass
"""
# What one rank waits for cannot be interrupted, and what the other one leaves cannot be given up.
STAYS = """
import threading
failures.TIME_TO_LEAVE = ddp.TIME_TO_ABORT = 1.0
class Stuck:
    def abort(self):
        print("gives up", flush=True)
        threading.Event().wait()
ddp._world = Stuck
leave = ddp._leave
ddp._leave = lambda device: leave(torch.device("cuda"))
try:
    with process_group("cpu"):
        if rank == 1:
            raise UserError("a disk is full")
        time.sleep(1000)
except UserError as error:
    print(error, flush=True)
"""


def run(program):
    """What two ranks print, their errors and their exit codes."""
    common = os.environ | {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", START + program],
            env=common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    texts = [rank.communicate(timeout=120) for rank in ranks]
    out, errors = zip(*texts, strict=True)
    return out, errors, [rank.returncode for rank in ranks]


def test_a_rank_that_fails_alone_is_named_by_the_others(tmp_path):
    folder = write_tiny_training(tmp_path, iterations=9)
    _, errors, codes = run(FAILS_ALONE.format(arguments=arguments(folder)))
    assert codes == [2, 1]
    failure = "MemoryError: this rank is full"
    assert f"aiv-rba train: internal error: {failure}" in errors[1]
    ended = f"aiv-rba train: error: rank 0 ends, because rank 1 failed: {failure}"
    assert errors[0].splitlines()[-1] == ended


def test_compilation_counts_toward_no_step():
    out, errors, codes = run(LAGS)
    assert out == ("compiled\n", "compiled\n")
    assert codes == [1, 1]
    assert "rank 0 lost contact with another rank: " in errors[0]
    assert "Timed out waiting 1000ms" in errors[0]


def test_ranks_that_end_one_after_the_other_say_nothing():
    """The store ends with the first one, and torch would log at length that it has."""
    assert run(ENDS) == (("", ""), ("", ""), [0, 0])


def test_two_ranks_on_one_gpu_are_refused_by_both():
    _, errors, _ = run(HAS_NO_GPU)
    for said in errors:
        assert "UserError: ranks 0 and 1 have the same GPU of " in said.splitlines()[-1]


def test_a_failure_is_told_before_the_group_is_given_up_and_ends_ranks_that_wait():
    out, errors, codes = run(STAYS)
    assert codes == [2, 1]
    assert out == ("", "a disk is full\ngives up\n")
    ended = "aiv-rba: error: rank 0 ends, because rank 1 failed: a disk is full"
    assert errors[0].splitlines()[-1] == ended


@pytest.mark.parametrize(
    ("codes", "found", "said"),
    [
        # The launcher may look only when the other rank has ended as well.
        ({0: -9, 1: 69}, 1, ["aiv-rba train: error: rank 0 was ended by SIGKILL"]),
        ({0: 75, 1: -11}, 1, ["aiv-rba train: error: rank 1 was ended by SIGSEGV"]),
        ({0: 69, 1: 2}, 2, []),
        ({0: -6, 1: 2}, 2, []),
        ({0: 69}, 69, []),
    ],
)
def test_the_launcher_tells_the_reason_from_what_follows_of_it(
    codes, found, said, monkeypatch, caplog
):
    def ends(config, command):
        def start(*arguments):
            failures = {rank: ProcessFailure(rank, 0, code, "") for rank, code in codes.items()}
            raise ChildFailedError("train", failures)

        return start

    monkeypatch.setattr(launch, "elastic_launch", ends)
    assert launch.launch(["train", "folder"], 2) == found
    assert caplog.messages == said
