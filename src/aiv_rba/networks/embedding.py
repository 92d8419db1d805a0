"""Embeddings of the coordinates and exact boundary conditions."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from aiv_rba import jets


class Normalise(nn.Module):
    """Map the box [lower, upper] to [-1, 1]^D."""

    scale: Tensor
    shift: Tensor

    def __init__(self, lower: Tensor, upper: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", 2 / (upper - lower))
        self.register_buffer("shift", -(upper + lower) / (upper - lower))

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, D)."""
        return jets.affine(jet, self.scale, self.shift)


def _waves(x: Tensor, omega: Tensor, second_order: Tensor) -> tuple[Tensor, Tensor]:
    phases = x * omega
    return (
        jets.compose(phases, jets.cos, second_order),
        jets.compose(phases, jets.sin, second_order),
    )


class Fourier1D(nn.Module):
    """Periodic embedding of one coordinate; Eq. 22 (the constant is the next layer's bias).

    Parameters
    ----------
    coordinate
        Its number among the D columns; the other columns pass unchanged.
    period
        Period P; omega = 2 pi / P.
    harmonics
        m; 2 m columns replace the coordinate.
    second_order
        (D,), coefficients of the jet's second-order operator.
    """

    omega: Tensor
    second_order: Tensor

    def __init__(
        self, coordinate: int, period: float, harmonics: int, second_order: Tensor
    ) -> None:
        super().__init__()
        self.coordinate = coordinate
        harmonic = torch.arange(1, harmonics + 1, dtype=second_order.dtype)
        self.register_buffer("omega", 2 * math.pi / period * harmonic)
        self.register_buffer("second_order", second_order, persistent=False)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, D - 1 + 2 m)."""
        i = self.coordinate
        cosines, sines = _waves(jet[..., i : i + 1], self.omega, self.second_order)
        return torch.cat([cosines, sines, jet[..., :i], jet[..., i + 1 :]], dim=-1)


class Fourier2D(nn.Module):
    """Doubly periodic embedding of two coordinates; Eq. 23, or truncated, Eq. 31.

    Parameters
    ----------
    periods
        P_x, P_y.
    harmonics
        n = m.
    second_order
        (2,), coefficients of the jet's second-order operator.
    truncated
        Leave out the sin sin products, which would hold the Helmholtz solution itself.
    """

    omega_x: Tensor
    omega_y: Tensor
    second_order: Tensor

    def __init__(
        self,
        periods: tuple[float, float],
        harmonics: int,
        second_order: Tensor,
        *,
        truncated: bool = False,
    ) -> None:
        super().__init__()
        self.truncated = truncated
        harmonic = torch.arange(1, harmonics + 1, dtype=second_order.dtype)
        self.register_buffer("omega_x", 2 * math.pi / periods[0] * harmonic)
        self.register_buffer("omega_y", 2 * math.pi / periods[1] * harmonic)
        self.register_buffer("second_order", second_order, persistent=False)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, 4 n^2), or (K, N, 3 n^2) truncated."""
        cos_x, sin_x = _waves(jet[..., :1], self.omega_x, self.second_order)
        cos_y, sin_y = _waves(jet[..., 1:2], self.omega_y, self.second_order)
        pairs = [(cos_x, cos_y), (cos_x, sin_y), (sin_x, cos_y)]
        if not self.truncated:
            pairs.append((sin_x, sin_y))
        return torch.cat([self._products(a, b) for a, b in pairs], dim=-1)

    def _products(self, a: Tensor, b: Tensor) -> Tensor:
        n = len(self.omega_x)
        every_a = a.repeat_interleave(n, dim=-1)
        every_b = b.repeat(1, 1, n)
        return jets.product(every_a, every_b, self.second_order)


class BoxDistance(nn.Module):
    """Multiply by a distance function that vanishes on the faces of a box; Eqs. 20-21, 32.

    phi = prod_d (x_d^2 - 1) over the normalised coordinates, so u = phi u_NN meets u = 0.
    """

    second_order: Tensor

    def __init__(self, second_order: Tensor) -> None:
        super().__init__()
        self.register_buffer("second_order", second_order, persistent=False)

    def forward(self, output: Tensor, coordinates: Tensor) -> Tensor:
        """Jet (K, N, C) of phi u_NN, from the jets of u_NN (K, N, C) and x (K, N, D)."""
        for column in torch.split(coordinates, 1, dim=-1):
            square = jets.product(column, column, self.second_order)
            phi = torch.cat([square[:1] - 1, square[1:]])
            output = jets.product(output, phi, self.second_order)
        return output
