"""Flows that are sums of harmonics of the period, as the rivals infer them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aiv_rba.files.formats import Array
from aiv_rba.jets import Order

ComplexArray = NDArray[np.complex128]

# Positions whose modes are evaluated at a time.
BLOCK = 2048


class HarmonicFlow(ABC):
    """A nondimensional flow f(x, t) = Re sum_k c_k(x) exp(2 pi i k t / T).

    It is a `NondimensionalFlow`, so that it is evaluated and scored like an inferred one.

    Parameters
    ----------
    period
        Period T, nondimensional.
    """

    def __init__(self, period: float) -> None:
        self.period = period
        self._last: tuple[Array, ComplexArray] | None = None

    @abstractmethod
    def modes(self, positions: Array) -> ComplexArray:
        """Modes (K, 4, N, 4) of (u, v, w, p) at positions (N, 3): values, d/dx, d/dy, d/dz."""

    def velocity(self, positions: Array, times: Array | float) -> Array:
        """Velocity (N, 3) at positions (N, 3) and times (N,)."""
        return self.at(positions, times)[0, :, :3]

    def pressure(self, positions: Array, times: Array | float) -> Array:
        """Pressure (N,), up to a constant at every time."""
        return self.at(positions, times)[0, :, 3]

    def jet(self, points: Tensor, order: Order = 1) -> Tensor:
        """Jet (5, N, 4) of (u, v, w, p) at points (N, 4): value, d/dt, d/dx, d/dy, d/dz.

        Of order 0 it is the value alone.

        Raises
        ------
        ValueError
            If second derivatives are asked for.
        """
        if order == 2:
            raise ValueError("order: found 2, expected 0 or 1")
        jet = self.at(points[:, 1:].numpy(), points[:, 0].numpy())
        return torch.from_numpy(jet[:1] if order == 0 else jet)

    def at(self, positions: Array, times: Array | float) -> Array:
        """Jet (5, N, 4) at positions (N, 3) and times (N,)."""
        modes = self._modes(positions)
        omega = 2j * np.pi / self.period * np.arange(len(modes))
        waves = np.exp(np.outer(omega, np.broadcast_to(times, len(positions))))
        fields = np.einsum("kn,kdnf->dnf", waves, modes).real
        rate = np.einsum("kn,knf->nf", omega[:, None] * waves, modes[:, 0]).real
        return np.concatenate([fields[:1], rate[None], fields[1:]])

    def _modes(self, positions: Array) -> ComplexArray:
        """The modes, kept for the next time at the same positions."""
        if self._last is None or not np.array_equal(self._last[0], positions):
            starts = range(0, len(positions), BLOCK)
            parts = [self.modes(positions[start : start + BLOCK]) for start in starts]
            self._last = positions.copy(), np.concatenate(parts, axis=2)
        return self._last[1]


def product(matrix: Array, values: ComplexArray) -> ComplexArray:
    """Product (..., K) of a real matrix (..., M) and complex values (M, K).

    NumPy would first make a complex copy of the matrix, which is the larger one.
    """
    return np.asarray(matrix @ values.real + 1j * (matrix @ values.imag))
