"""The network of problems with one unknown in two coordinates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from aiv_rba.errors import UserError
from aiv_rba.networks.embedding import BoxDistance, Fourier1D, Fourier2D, Normalise
from aiv_rba.networks.layers import MLP, CoordinateNetwork
from aiv_rba.settings import ScalarNetworkSettings


class ScalarNetwork(CoordinateNetwork):
    """A function of two coordinates; settings make it periodic, or zero on the boundary.

    Parameters
    ----------
    settings
        Architecture, embedding, distance function.
    lower, upper
        (2,) box that is mapped to [-1, 1]^2.
    second_order
        Coefficients of the jet's second-order operator.
    lift
        Known part g of the solution, from the jet of the coordinates; Eq. 20.

    Raises
    ------
    UserError
        If the settings have both a periodic embedding and a distance function.
    """

    def __init__(
        self,
        settings: ScalarNetworkSettings,
        lower: Tensor,
        upper: Tensor,
        second_order: tuple[float, float],
        lift: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if settings.distance and settings.embedding != "none":
            raise UserError(
                f"network: found distance with embedding {settings.embedding}, expected one of "
                "them: both treat the same boundary"
            )
        # The operator acts on physical coordinates; Normalise scales all slices of the jet.
        coefficients = torch.tensor(second_order, dtype=lower.dtype)
        self.normalise = Normalise(lower, upper)
        n = settings.harmonics
        self.embed: nn.Module = nn.Identity()
        inputs = 2
        if settings.embedding == "fourier_x":
            # Normalised coordinates run over [-1, 1]: their period is 2.
            self.embed, inputs = Fourier1D(1, 2.0, n, coefficients), 1 + 2 * n
        elif settings.embedding == "fourier_each":
            # The first embedding leaves the other coordinate in the last column.
            self.embed = nn.Sequential(
                Fourier1D(1, 2.0, n, coefficients), Fourier1D(2 * n, 2.0, n, coefficients)
            )
            inputs = 4 * n
        elif settings.embedding != "none":
            truncated = settings.embedding == "fourier_truncated"
            self.embed = Fourier2D((2.0, 2.0), n, coefficients, truncated=truncated)
            inputs = (3 if truncated else 4) * n * n
        self.mlp = MLP(
            inputs,
            1,
            layers=settings.layers,
            width=settings.width,
            activation=settings.activation,
            second_order=coefficients,
            modified=settings.architecture == "modified_mlp",
            weight_normalisation=settings.weight_normalisation,
            first_layer_gain=settings.first_layer_gain,
        )
        self.lift = lift
        self.distance = BoxDistance(coefficients) if settings.distance else None
        self.to(lower.dtype)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, 1) of u from the jet of the coordinates."""
        coordinates = self.normalise(jet)
        out: Tensor = self.mlp(self.embed(coordinates))
        if self.distance is not None:
            out = self.distance(out, coordinates)
        return out if self.lift is None else self.lift(jet) + out
