"""Gram matrices and the Cholesky solver, on the upper triangle of a matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve, get_blas_funcs
from torch import Tensor


def add_upper_gram(j: Tensor, upper: Tensor) -> None:
    """Add J^T J of (n, P) to the upper triangle of (P, P); what lies below it is not defined.

    SciPy's BLAS has the symmetric product, which torch lacks: half the work.
    """
    if j.is_cuda:
        upper.addmm_(j.T, j)
        return
    rows, below = j.numpy(), upper.numpy().T
    syrk = get_blas_funcs("syrk", (rows,))
    # BLAS takes columns for rows: what is above the diagonal here is below it there.
    transposed = not rows.flags.c_contiguous
    columns = rows if transposed else rows.T
    syrk(1.0, columns, beta=1.0, c=below, trans=transposed, lower=True, overwrite_c=True)


def factored(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """Solver of a positive definite system given by its upper triangle, which is lost.

    Right-hand sides are (P,), or (P, S) for several at once.

    Raises
    ------
    LinAlgError
        If the matrix is not positive definite.
    """
    if matrix.is_cuda:
        factor, failed = torch.linalg.cholesky_ex(matrix, upper=True)
        if int(failed):
            raise LinAlgError
        return solver(factor)
    # As for the Gram matrix, LAPACK's lower triangle is the upper one here.
    lower, _ = cho_factor(matrix.numpy().T, lower=True, overwrite_a=True, check_finite=False)
    return solver(torch.from_numpy(lower.T))


def solver(factor: Tensor) -> Callable[[Tensor], Tensor]:
    """Solver of U^T U x = b, given the upper triangle of U."""
    if factor.is_cuda:
        return lambda right: torch.cholesky_solve(
            right.view(len(right), -1), factor, upper=True
        ).view_as(right)
    lower = factor.numpy().T, True
    return lambda right: torch.from_numpy(cho_solve(lower, right.numpy(), check_finite=False))


def eliminate(factor: Tensor, rows: Tensor) -> None:
    """Replace rows (n, M) by U^-T rows, given the upper triangular factor U (n, n).

    torch's solver takes twice as long, most of it to copy.
    """
    if factor.is_cuda:
        rows.copy_(torch.linalg.solve_triangular(factor.T, rows, upper=False))
        return
    solved, lower = rows.contiguous(), factor.contiguous().numpy().T
    columns = solved.numpy().T
    trsm = get_blas_funcs("trsm", (lower,))
    trsm(1.0, lower, columns, side=True, lower=True, trans_a=True, overwrite_b=True)
    rows.copy_(solved)
