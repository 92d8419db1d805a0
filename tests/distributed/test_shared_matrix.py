"""A matrix whose block rows are dealt to several ranks, against NumPy."""

import os
import subprocess
import sys

RANKS = """
import torch
from scipy.linalg import LinAlgError

from aiv_rba.optimisers.normal_equations import add_upper_gram
from aiv_rba.optimisers.shared_matrix import SharedMatrix
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
    # The matrix itself remains, and a negative pivot anywhere is noticed by every rank.
    torch.testing.assert_close(matrix.damped(damping)(right[:, 0]), expected[:, 0])
    for place in (0, order // 2, order - 1):
        damping[place] = -1e4
        try:
            matrix.damped(damping)
        except LinAlgError:
            damping[place] = 1
        else:
            raise AssertionError(place)
    return sum(block.numel() for block in matrix.own.values())


with process_group() as ranks:
    held = check(41, ranks)
    assert held < 1.2 * 41 * 45 / 2 / ranks.size
    # Some ranks have nothing.
    check(2, ranks)
"""


def test_all_ranks_hold_and_factor_one_matrix(tmp_path):
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
