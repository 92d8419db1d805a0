"""Functions of time whose coefficients a network gives, with their exact derivatives."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from aiv_rba.settings.types import FlowKind


class FourierBasis(nn.Module):
    """1, cos(k w t), sin(k w t) of a period; with no harmonics the constant of a steady flow."""

    frequencies: Tensor

    def __init__(self, harmonics: int, period: float, dtype: torch.dtype) -> None:
        super().__init__()
        multiples = torch.arange(1, harmonics + 1, dtype=dtype)
        self.register_buffer("frequencies", 2 * math.pi / period * multiples)

    def forward(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Values and derivatives (N, coefficients) at times (N,)."""
        phase = time[:, None] * self.frequencies
        cosine, sine = torch.cos(phase), torch.sin(phase)
        values = torch.cat([torch.ones_like(time)[:, None], cosine, sine], dim=1)
        rates = torch.cat(
            [torch.zeros_like(time)[:, None], -self.frequencies * sine, self.frequencies * cosine],
            dim=1,
        )
        return values, rates


class LegendreBasis(nn.Module):
    """Legendre polynomials of degrees 0 to `degree` in a window of times from 0 to `duration`."""

    derivative: Tensor

    def __init__(self, degree: int, duration: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.degree, self.duration = degree, duration
        # Columns are the derivatives of the polynomials as sums of polynomials.
        derivative = np.zeros((degree + 1, degree + 1))
        derivative[:-1] = np.polynomial.legendre.legder(np.eye(degree + 1))[:degree]
        rates = torch.as_tensor(2 / duration * derivative, dtype=dtype)
        self.register_buffer("derivative", rates)

    def forward(self, time: Tensor) -> tuple[Tensor, Tensor]:
        """Values and derivatives (N, coefficients) at times (N,)."""
        s = 2 / self.duration * time - 1
        polynomials = [torch.ones_like(s), s]
        for k in range(1, self.degree):
            polynomials.append(
                ((2 * k + 1) * s * polynomials[k] - k * polynomials[k - 1]) / (k + 1)
            )
        values = torch.stack(polynomials[: self.degree + 1], dim=1)
        return values, values @ self.derivative


def time_basis(
    flow: FlowKind, modes: int, duration: float, dtype: torch.dtype
) -> FourierBasis | LegendreBasis:
    """The basis of a kind of flow in a period or window of a duration."""
    if flow == "unsteady":
        return LegendreBasis(modes, duration, dtype)
    return FourierBasis(modes, duration, dtype)
