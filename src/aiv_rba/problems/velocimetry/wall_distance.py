"""The wall function of a case as a jet, for exact no-slip on a vessel; Eq. 20."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aiv_rba import jets
from aiv_rba.files.case import WallFunction


class WallDistance(nn.Module):
    """A smooth function phi that vanishes on the wall, in units of its size in mid-lumen.

    Parameters
    ----------
    function
        phi and its point sources.
    dtype
        Precision.
    """

    sources: Tensor
    strengths: Tensor
    linear: Tensor
    quadratic: Tensor

    def __init__(self, function: WallFunction, dtype: torch.dtype) -> None:
        super().__init__()
        for name in ("sources", "strengths", "linear", "quadratic"):
            values = torch.as_tensor(getattr(function, name), dtype=dtype)
            self.register_buffer(name, values, persistent=False)
        self.constant, self.unit = function.constant, function.unit

    def forward(self, positions: Tensor, order: jets.Order = 2) -> Tensor:
        """Jet (5, N, 1) at positions (N, 3): value, gradient, Laplacian; fewer of a lower order."""
        squares = (
            positions.square().sum(1, keepdim=True)
            + self.sources.square().sum(1)
            - 2 * positions @ self.sources.T
        )
        inverse = squares.rsqrt()
        bend = positions @ self.quadratic
        parabola = (bend * positions).sum(1) + positions @ self.linear
        value = self.constant + parabola + inverse @ self.strengths
        if order == 0:
            return (value / self.unit)[None, :, None]
        cubes = inverse**3
        fields = positions * (cubes @ self.strengths)[:, None]
        fields = fields - cubes @ (self.sources * self.strengths[:, None])
        gradient = -fields + 2 * bend + self.linear
        # The sources' fields are harmonic; the parabola's Laplacian is -1.
        laplacian = torch.full_like(value, -1.0)[None][: order - 1]
        return (torch.cat([value[None], gradient.T, laplacian]) / self.unit)[:, :, None]
