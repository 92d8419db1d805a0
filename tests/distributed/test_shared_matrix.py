"""A matrix whose block rows are dealt to several ranks, against NumPy."""

import os
import subprocess
import sys

RANKS = """
import os
from contextlib import nullcontext
from unittest.mock import patch

import torch
from scipy.linalg import LinAlgError

from aiv_rba.optimisers.normal_equations import add_upper_gram
from aiv_rba.optimisers.shared_matrix import SharedMatrix
from aiv_rba.ranks import shared_memory
from aiv_rba.ranks.ddp import process_group


def check(order, ranks):
    everything = torch.randn(60, order, generator=torch.Generator().manual_seed(0)).double()
    j, damping = everything[ranks.share(60)], torch.linspace(1, 2, order, dtype=torch.float64)
    matrix = SharedMatrix(order, j, ranks)
    for _ in range(2):
        matrix.scale(0.5)
        matrix.add(lambda upper: add_upper_gram(j, upper))
    whole = 1.5 * everything.T @ everything
    torch.testing.assert_close(torch.triu(matrix.upper()), torch.triu(whole))
    torch.testing.assert_close(matrix.diagonal(), whole.diagonal())
    copy = SharedMatrix(order, j, ranks)
    copy.set(matrix.upper())
    right = torch.randn(order, 2, generator=torch.Generator().manual_seed(1)).double()
    expected = torch.linalg.solve(whole + damping.diag(), right)
    torch.testing.assert_close(copy.damped(damping)(right), expected)
    # The matrix itself remains, and a negative pivot anywhere is noticed by every rank, also if no
    # row has anything to do with another.
    torch.testing.assert_close(matrix.damped(damping)(right[:, 0]), expected[:, 0])
    copy.set(torch.eye(order, dtype=torch.float64))
    for place in (0, order // 2, order - 1):
        damping[place] = -1e4
        for each in (matrix, copy):
            try:
                each.damped(damping)
            except LinAlgError:
                continue
            raise AssertionError(place)
        damping[place] = 1
    held = sum(block.numel() for block in matrix.own.values())
    assert held < 1.2 * order * (order + 4) / 2 / ranks.size or order < ranks.size
    return len(matrix.rooms)


with process_group() as ranks:
    # With two rows some ranks have none.
    for order in (41, 2):
        assert check(order, ranks) == ranks.size
    like = torch.zeros(1)
    ours = shared_memory.shared_memory(2, 3, like, ranks)
    ours[ranks.rank] += ranks.rank
    ranks.wait()
    assert [room.unique().tolist() for room in ours] == [[r] for r in range(ranks.size)]
    assert shared_memory.shared_memory(2, 3, like.to("meta"), ranks) == []
    # The system of one rank has no such files.
    failing = patch.object(os, "memfd_create", side_effect=OSError)
    with failing if ranks.rank else nullcontext():
        assert shared_memory.shared_memory(2, 3, like, ranks) == []

    # One rank finds a file of another name there, as on another machine.
    found, other = shared_memory._path, lambda process, file, token: found(process, file, token + 1)
    shared_memory._path = other if ranks.rank == 1 else found
    assert shared_memory.shared_memory(2, 3, like, ranks) == []
    for order in (41, 2):
        assert check(order, ranks) == 0
"""


def test_all_ranks_hold_and_factor_one_matrix_with_and_without_common_memory(tmp_path):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", "3", str(script)),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
