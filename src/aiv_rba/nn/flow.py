"""The network of artificial intelligence velocimetry: (t, x, y, z) -> (u, v, w, p)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from aiv_rba import config
from aiv_rba.nn.embedding import Fourier1D, Normalise
from aiv_rba.nn.layers import MLP, CoordinateNetwork
from aiv_rba.pde.navier_stokes import SECOND_ORDER


class FlowNetwork(CoordinateNetwork):
    """Velocity and pressure, nondimensional; Eqs. 35-38.

    Parameters
    ----------
    settings
        Architecture, embedding and output scales.
    lower, upper
        (4,) box of (t, x, y, z) that is mapped to [-1, 1]^4.
    """

    scales: Tensor

    def __init__(self, settings: config.Network, lower: Tensor, upper: Tensor) -> None:
        super().__init__()
        second_order = torch.tensor(SECOND_ORDER, dtype=lower.dtype)
        self.normalise = Normalise(lower, upper)
        harmonics = settings.time_harmonics
        # Normalised time runs over [-1, 1], so its period is 2.
        self.embed = Fourier1D(0, 2.0, harmonics, second_order) if harmonics else nn.Identity()
        self.mlp = MLP(
            3 + 2 * harmonics if harmonics else 4,
            4,
            layers=settings.layers,
            width=settings.width,
            activation=settings.activation,
            second_order=second_order,
            modified=settings.architecture == "modified_mlp",
            weight_normalisation=settings.weight_normalisation,
        )
        self.register_buffer("scales", torch.tensor(settings.output_scales, dtype=lower.dtype))
        self.to(lower.dtype)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, 4) of (u, v, w, p) from the jet of the coordinates."""
        out: Tensor = self.mlp(self.embed(self.normalise(jet)))
        return out * self.scales
