"""The normal equations of residual rows: Jacobian, Gram matrix, Cholesky solver."""

from __future__ import annotations

from collections.abc import Callable

import torch
from scipy.linalg import LinAlgError, cho_factor, cho_solve, get_blas_funcs
from torch import Tensor, nn

from aiv_rba.networks.layers import Linear


def jacobian(residuals: Callable[[], Tensor], layers: list[Linear]) -> tuple[Tensor, Tensor]:
    """Residuals and their derivatives with respect to the weights and biases of linear layers.

    A row depends on its own point only, so the gradient of a term's sum with respect to a layer's
    output holds every row's own gradient, and the derivative with respect to the weights is the
    product of that with the layer's input.

    Returns
    -------
    Tensor, Tensor
        Residuals (n, terms) and Jacobian (n, terms, parameters), parameters in the order weight,
        bias of each layer.
    """
    # By layer, since a network may call its layers in another order than it lists them.
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def record(layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> None:
        seen[layer] = (arguments[0].detach(), output)

    hooks = [layer.register_forward_hook(record) for layer in layers]
    e = residuals()
    for hook in hooks:
        hook.remove()
    inputs, outputs = zip(*(seen[layer] for layer in layers), strict=True)

    columns = []
    for term in range(e.shape[1]):
        gradients = torch.autograd.grad(
            e[:, term].sum(), outputs, retain_graph=True, materialize_grads=True
        )
        parts = []
        for gradient, x in zip(gradients, inputs, strict=True):
            weight = torch.einsum("kno,kni->noi", gradient, x)
            parts += [weight.flatten(1), gradient[0]]
        columns.append(torch.cat(parts, dim=1))
    return e.detach(), torch.stack(columns, dim=1)


def upper_gram(j: Tensor) -> Tensor:
    """Upper triangle of J^T J (P, P) of a Jacobian (n, P); what lies below it is not defined.

    SciPy's BLAS has the symmetric product, which torch lacks: half the work.
    """
    if j.is_cuda:
        return j.T @ j
    rows = j.numpy()
    syrk = get_blas_funcs("syrk", (rows,))
    return torch.from_numpy(syrk(1.0, rows.T))


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
        return lambda right: torch.cholesky_solve(
            right.view(len(right), -1), factor, upper=True
        ).view_as(right)
    # LAPACK takes columns for rows: what is above the diagonal here is below it there.
    lower = cho_factor(matrix.numpy().T, lower=True, overwrite_a=True, check_finite=False)
    return lambda right: torch.from_numpy(cho_solve(lower, right.numpy(), check_finite=False))
