"""The launch environment and what is made of it."""

import os
import subprocess
import sys

import pytest
import torch
import torch.distributed as dist
from threadpoolctl import threadpool_info

from aiv_rba.errors import UserError
from aiv_rba.ranks.ddp import Ranks, process_group
from aiv_rba.ranks.environment import find_address, find_rank

LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "mpiexec": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "srun": ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID"),
}


@pytest.mark.parametrize("names", LAUNCHERS.values(), ids=LAUNCHERS)
def test_rank_is_found_in_the_environment_of_every_launcher(names):
    assert find_rank(dict(zip(names, ("5", "8", "1"), strict=True))) == (5, 8, 1)


def test_without_a_launcher_there_is_one_rank():
    assert find_rank({}) == (0, 1, 0)


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        ({"RANK": "one", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK='one'"),
        ({"RANK": "2", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "RANK=2, expected 0 to 1"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, "MASTER_ADDR is not set"),
        (
            {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "a"},
            "MASTER_PORT is not set, needed for 2 ranks",
        ),
        ({"OMP_NUM_THREADS": "two"}, "OMP_NUM_THREADS: found 'two'"),
        ({"OMP_NUM_THREADS": "0"}, "OMP_NUM_THREADS: found '0'"),
    ],
)
def test_an_environment_that_does_not_fit_is_named(environment, complaint):
    with pytest.raises(UserError, match=complaint), process_group(environment=environment):
        pass


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("n1", "n1"),
        ("n[1-2]", "n1"),
        ("gpu-a[007-012,031],gpu-b1", "gpu-a007"),
        ("b3,a[1-2]", "b3"),
        ("rack[2-3]n[5,9]", "rack2n5"),
    ],
)
def test_ranks_of_slurm_meet_on_the_first_node_of_their_step(nodes, host):
    step = {"SLURM_STEP_NODELIST": nodes, "SLURM_JOB_ID": "1239999", "SLURM_STEP_ID": "4"}
    assert find_address(step, 2) == (host, 20003)
    given = {"MASTER_ADDR": "elsewhere", "MASTER_PORT": "29500"}
    assert find_address(step | given, 2) == ("elsewhere", 29500)


def test_a_port_that_is_none_is_named():
    with pytest.raises(UserError, match="MASTER_PORT='70000', expected 1 to 65535"):
        find_address({"MASTER_ADDR": "a", "MASTER_PORT": "70000"}, 2)


def test_every_thread_pool_has_the_threads_of_the_rank():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    two = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "3"}
    try:
        with process_group(environment=two) as ranks:
            assert ranks.size == 1
            assert torch.get_num_threads() == 2
            assert {pool["num_threads"] for pool in threadpool_info()} == {2}
    finally:
        with process_group(environment={"OMP_NUM_THREADS": str(before)}):
            pass


def test_tensors_that_nccl_refuses_are_reduced_in_place(monkeypatch):
    """Gloo takes tensors that are not contiguous, NCCL does not."""

    def all_reduce(tensor, op=dist.ReduceOp.SUM):
        assert tensor.is_contiguous()
        tensor.add_(10 if op == dist.ReduceOp.MAX else tensor.clone())

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    ranks = Ranks(0, 2, torch.device("cpu"))
    rows = torch.arange(6.0).view(2, 3)
    for held in (rows.T, rows[:, ::2], rows):
        before = held.clone()
        assert ranks.sum(held) is held
        torch.testing.assert_close(held, 2 * before)
        assert ranks.max(held) is held
        torch.testing.assert_close(held, 2 * before + 10)


def test_no_visible_gpu_means_cores():
    """Where CUDA_VISIBLE_DEVICES is empty, whatever GPUs there are."""
    code = (
        "from aiv_rba.ranks.ddp import process_group\n"
        "with process_group() as ranks:\n"
        "    print(ranks.device)"
    )
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    command = (sys.executable, "-c", code)
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert told.stdout == "cpu\n"
