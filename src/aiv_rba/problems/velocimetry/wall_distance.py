"""The wall function of a case as a jet, for exact no-slip on a vessel; Eq. 20."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aiv_rba import jets
from aiv_rba.files.case import WallFunction

# Positions at once on a core, so that their distances to all sources stay in its cache.
ROWS = 256


class WallDistance(nn.Module):
    """A smooth function phi that vanishes on the wall, in units of its size in mid-lumen.

    Parameters
    ----------
    function
        phi and its point sources.
    dtype
        Precision.
    """

    factors: Tensor
    strengths: Tensor
    moments: Tensor
    linear: Tensor
    quadratic: Tensor

    def __init__(self, function: WallFunction, dtype: torch.dtype) -> None:
        super().__init__()
        sources = torch.as_tensor(function.sources, dtype=dtype)
        strengths = torch.as_tensor(function.strengths, dtype=dtype)
        # Squares of distances to all sources, (x, |x|^2, 1) . (-2 s, 1, |s|^2), are one product.
        ones = torch.ones_like(strengths)
        buffers = {
            "factors": torch.stack([*(-2 * sources).T, ones, sources.square().sum(1)]),
            "strengths": strengths,
            "moments": strengths[:, None] * torch.cat([ones[:, None], sources], dim=1),
            "linear": torch.as_tensor(function.linear, dtype=dtype),
            "quadratic": torch.as_tensor(function.quadratic, dtype=dtype),
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)
        self.constant, self.unit = function.constant, function.unit

    def forward(self, positions: Tensor, order: jets.Order = 2) -> Tensor:
        """Jet (5, N, 1) at positions (N, 3): value, gradient, Laplacian; fewer of a lower order."""
        if positions.device.type != "cpu" or torch.compiler.is_compiling():
            return self._jet(positions, order)
        return torch.cat([self._jet(rows, order) for rows in torch.split(positions, ROWS)], dim=1)

    def _jet(self, positions: Tensor, order: jets.Order) -> Tensor:
        """What `forward` says, at all positions at once."""
        own = torch.stack([positions.square().sum(1), torch.ones_like(positions[:, 0])], dim=1)
        squares = torch.cat([positions, own], dim=1) @ self.factors
        # In its place, since new memory of this size takes longer than the roots.
        inverse = squares.rsqrt_()
        bend = positions @ self.quadratic
        parabola = (bend * positions).sum(1) + positions @ self.linear
        value = self.constant + parabola + inverse @ self.strengths
        if order == 0:
            return (value / self.unit)[None, :, None]
        cubes = inverse.square() * inverse
        strength, moment = torch.split(cubes @ self.moments, [1, 3], dim=1)
        gradient = moment - strength * positions + 2 * bend + self.linear
        # The sources' fields are harmonic; the parabola's Laplacian is -1.
        laplacian = torch.full_like(value, -1.0)[None][: order - 1]
        return (torch.cat([value[None], gradient.T, laplacian]) / self.unit)[:, :, None]
