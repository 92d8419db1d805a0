"""Exact solutions of the Navier-Stokes equations, differentiable by torch."""

import math

import torch
from torch import Tensor


def ethier_steinman(x: Tensor, reynolds: float, a: float = math.pi / 4, d: float = math.pi / 2):
    """Beltrami flow of Ethier & Steinman (1994) at (N, 4) points (t, x, y, z): u, v, w, p (N, 4).

    Nondimensional, with dv/dt + v.grad v = -grad p + lap v / Re.
    """
    t, x, y, z = x.unbind(-1)
    exp, sin, cos = torch.exp, torch.sin, torch.cos
    decay = exp(-(d**2) * t / reynolds)
    u = -a * (exp(a * x) * sin(a * y + d * z) + exp(a * z) * cos(a * x + d * y)) * decay
    v = -a * (exp(a * y) * sin(a * z + d * x) + exp(a * x) * cos(a * y + d * z)) * decay
    w = -a * (exp(a * z) * sin(a * x + d * y) + exp(a * y) * cos(a * z + d * x)) * decay
    p = (
        -(a**2)
        / 2
        * (
            exp(2 * a * x)
            + exp(2 * a * y)
            + exp(2 * a * z)
            + 2 * sin(a * x + d * y) * cos(a * z + d * x) * exp(a * (y + z))
            + 2 * sin(a * y + d * z) * cos(a * x + d * y) * exp(a * (z + x))
            + 2 * sin(a * z + d * x) * cos(a * y + d * z) * exp(a * (x + y))
        )
        * decay**2
    )
    return torch.stack([u, v, w, p], dim=-1)


def jet_by_autograd(function, x: Tensor, second_order: Tensor) -> Tensor:
    """Jet (D + 2, N, C) of a function of (N, D) points by nested autograd: the independent way."""
    x = x.detach().requires_grad_()
    value = function(x)
    slices = [[], [[] for _ in range(x.shape[1])], []]
    for column in value.unbind(-1):
        (gradient,) = torch.autograd.grad(column.sum(), x, create_graph=True)
        operator = torch.zeros_like(column)
        for i, c in enumerate(second_order.tolist()):
            first = gradient[:, i]
            if c and first.requires_grad:
                (second,) = torch.autograd.grad(
                    first.sum(), x, create_graph=True, materialize_grads=True
                )
                operator = operator + c * second[:, i]
            slices[1][i].append(first)
        slices[2].append(operator)
    first = [torch.stack(columns, dim=-1) for columns in slices[1]]
    return torch.stack([value, *first, torch.stack(slices[2], dim=-1)])
