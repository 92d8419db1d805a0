"""The launch environment and what is made of it."""

import pytest
import torch
from threadpoolctl import threadpool_info

from aiv_rba.errors import UserError
from aiv_rba.ranks.ddp import find_rank, process_group

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
        ({"OMP_NUM_THREADS": "two"}, "OMP_NUM_THREADS: found 'two'"),
        ({"OMP_NUM_THREADS": "0"}, "OMP_NUM_THREADS: found '0'"),
    ],
)
def test_an_environment_that_does_not_fit_is_named(environment, complaint):
    with pytest.raises(UserError, match=complaint), process_group(environment):
        pass


def test_every_thread_pool_has_the_threads_of_the_rank():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with process_group({"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "3"}) as ranks:
            assert ranks.size == 1
            assert torch.get_num_threads() == 2
            assert {pool["num_threads"] for pool in threadpool_info()} == {2}
    finally:
        with process_group({"OMP_NUM_THREADS": str(before)}):
            pass
