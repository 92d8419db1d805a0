"""Forward propagation of a value, its first derivatives and one second-order operator.

A jet is one tensor [1 + D + 1, N, C]: the value, the derivatives with respect to the D
coordinates, and sum_d c_d d^2/dx_d^2 with coefficients c that the caller chooses, (0, 1, 1, 1) in
(t, x, y, z) for Navier-Stokes. Jets go through a network layer by layer, so no graph of
derivatives is ever differentiated twice.

A jet of order 1, [1 + D, N, C], leaves out the second-order operator, and one of order 0,
[1, N, C], is the value alone: the same code then is the plain forward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import reduce
from typing import Literal

import torch
from torch import Tensor

from aiv_rba.jets.view import View

__all__ = [
    "ACTIVATIONS",
    "Derivatives",
    "Order",
    "View",
    "affine",
    "compose",
    "cos",
    "linear",
    "order_of",
    "product",
    "seed",
    "sin",
    "tanh",
]

Derivatives = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""Gives f(v), f'(v), f''(v)."""
Order = Literal[0, 1, 2]
"""Highest derivatives of a jet."""


def seed(x: Tensor, order: Order = 2) -> Tensor:
    """Jet of the coordinates themselves.

    Parameters
    ----------
    x
        (N, D) coordinates.
    order
        Highest derivatives.

    Returns
    -------
    Tensor
        (D + 2, N, D); of order 1 (D + 1, N, D), of order 0 (1, N, D).
    """
    value = x.unsqueeze(0)
    if order == 0:
        return value
    points, dimensions = x.shape
    gradient = torch.eye(dimensions, dtype=x.dtype, device=x.device)
    gradient = gradient.unsqueeze(1).expand(dimensions, points, dimensions)
    operator = torch.zeros_like(value)[: order - 1]
    return torch.cat([value, gradient, operator])


def order_of(jet: Tensor, dimensions: int) -> Order:
    """Order of a jet in D `dimensions`."""
    if len(jet) == 1:
        return 0
    return 1 if len(jet) == 1 + dimensions else 2


def affine(jet: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Jet of ``scale * f + shift``, element by element."""
    return _shift_value(jet * scale, shift)


def linear(jet: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Jet of a linear layer: one matrix product on the stacked tensor.

    Parameters
    ----------
    jet
        (D + 2, N, I).
    weight, bias
        (O, I) and (O,).

    Returns
    -------
    Tensor
        (D + 2, N, O).
    """
    product = jet @ weight.T
    return product if bias is None else _shift_value(product, bias)


def _shift_value(jet: Tensor, shift: Tensor) -> Tensor:
    # The gradient by the shift then is a sum over the value alone.
    value, *derivatives = jet.unbind(0)
    return torch.stack([value + shift, *derivatives])


def compose(jet: Tensor, derivatives: Derivatives, second_order: Tensor) -> Tensor:
    """Jet of f(g) for an elementwise f: the chain rule, to the order of the jet.

    Parameters
    ----------
    jet
        (D + 2, N, C), the jet of g.
    derivatives
        Gives f, f', f'' at the value of g.
    second_order
        (D,), the coefficients c of the second-order operator.
    """
    # Slice by slice, so that a compiler makes one loop of it, which evaluates f once, and another
    # one of its gradient.
    value, *gradient = jet.unbind(0)
    f, df, d2f = derivatives(value)
    if order_of(jet, len(second_order)) < 2:
        return torch.stack([f, *(df * g for g in gradient)])
    operator = gradient.pop()
    squares = _sum(c * g.square() for c, g in zip(second_order, gradient, strict=True))
    return torch.stack([f, *(df * g for g in gradient), df * operator + d2f * squares])


def _sum(terms: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, terms)


def product(a: Tensor, b: Tensor, second_order: Tensor) -> Tensor:
    """Jet of a product: Leibniz' rule, to the order of the jets."""
    (u, *du), (v, *dv) = a.unbind(0), b.unbind(0)
    slices = [u * v, *(u * y + v * x for x, y in zip(du, dv, strict=True))]
    if order_of(a, len(second_order)) == 2:
        gradients = zip(second_order, du[:-1], dv[:-1], strict=True)
        slices[-1] = slices[-1] + 2 * _sum(c * x * y for c, x, y in gradients)
    return torch.stack(slices)


def sin(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sine and its first two derivatives."""
    s = torch.sin(x)
    return s, torch.cos(x), -s


def cos(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosine and its first two derivatives."""
    c = torch.cos(x)
    return c, -torch.sin(x), -c


def tanh(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hyperbolic tangent and its first two derivatives."""
    t = torch.tanh(x)
    slope = 1 - t.square()
    return t, slope, -2 * t * slope


ACTIVATIONS: dict[str, Derivatives] = {"sin": sin, "tanh": tanh}
