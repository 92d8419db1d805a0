"""A matrix whose block rows are dealt to several ranks, against NumPy."""

import os
import subprocess
import sys

import pytest

RANKS = """
import numpy as np
import torch
from scipy.linalg import LinAlgError

from aiv_rba.optimisers.normal_equations import add_upper_gram
from aiv_rba.optimisers.shared_matrix import SharedMatrix
from aiv_rba.ranks.ddp import process_group

ORDER = {order}
with process_group() as ranks:
    everything = torch.randn(60, ORDER, generator=torch.Generator().manual_seed(0)).double()
    j, damping = everything[ranks.share(60)], torch.linspace(1, 2, ORDER, dtype=torch.float64)
    matrix = SharedMatrix(ORDER, j, ranks)
    for _ in range(2):
        matrix.scale(0.5)
        matrix.add(lambda upper: add_upper_gram(j, upper))
    whole = 1.5 * everything.T @ everything
    torch.testing.assert_close(torch.triu(matrix.upper()), torch.triu(whole))
    torch.testing.assert_close(matrix.diagonal(), whole.diagonal())
    copy = SharedMatrix(ORDER, j, ranks)
    copy.set(matrix.upper())
    right = torch.randn(ORDER, 2, generator=torch.Generator().manual_seed(1)).double()
    expected = torch.linalg.solve(whole + damping.diag(), right)
    torch.testing.assert_close(copy.damped(damping)(right), expected)
    # The matrix itself remains, and a negative pivot anywhere is noticed by every rank.
    torch.testing.assert_close(matrix.damped(damping)(right[:, 0]), expected[:, 0])
    for place in (0, ORDER // 2, ORDER - 1):
        damping[place] = -1e4
        try:
            matrix.damped(damping)
        except LinAlgError:
            damping[place] = 1
        else:
            raise AssertionError(place)
    held = sum(block.numel() for block in matrix.own.values())
    assert held < 1.6 * (ORDER + 10) ** 2 / 2 / ranks.size
"""


@pytest.mark.parametrize(("ranks", "order"), [(2, 41), (3, 41), (3, 2)])
def test_all_ranks_factor_one_matrix(tmp_path, ranks, order):
    script = tmp_path / "ranks.py"
    script.write_text(RANKS.format(order=order))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *("--nproc-per-node", str(ranks), str(script)),
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
