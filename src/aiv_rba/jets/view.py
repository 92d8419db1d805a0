"""Named access to the slices of a jet, so that a residual reads as its equation."""

from __future__ import annotations

import torch
from torch import Tensor


class View:
    """Fields and their derivatives, by the names of the coordinates.

    Parameters
    ----------
    jet
        (D + 2, N, C): value, first derivatives, second-order operator.
    coordinates
        A letter for each of the D coordinates, such as "txyz".

    Examples
    --------
    The residual of the heat equation u_t = u_xx is ``u.d("t") - u.laplacian``.
    """

    def __init__(self, jet: Tensor, coordinates: str) -> None:
        self.jet = jet
        self.coordinates = coordinates
        self._slices = jet.unbind(0)

    @property
    def value(self) -> Tensor:
        """(N, C)."""
        return self._slices[0]

    @property
    def laplacian(self) -> Tensor:
        """The jet's second-order operator (N, C): the Laplacian in the coordinates of space."""
        return self._slices[-1]

    def d(self, coordinate: str) -> Tensor:
        """First derivative (N, C) with respect to a coordinate."""
        return self._slices[1 + self.coordinates.index(coordinate)]

    def gradient(self, coordinates: str) -> Tensor:
        """First derivatives (N, C, n) with respect to n coordinates."""
        return torch.stack([self.d(coordinate) for coordinate in coordinates], dim=-1)

    def __getitem__(self, components: slice) -> View:
        """Some of the C fields."""
        return View(self.jet[..., components], self.coordinates)
