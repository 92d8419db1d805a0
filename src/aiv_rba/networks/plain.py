"""A network of any coordinates and outputs, for problems of one's own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from aiv_rba.networks.embedding import Normalise
from aiv_rba.networks.layers import MLP, CoordinateNetwork


class Network(CoordinateNetwork):
    """A multilayer perceptron on coordinates that are mapped to [-1, 1].

    Parameters
    ----------
    lower, upper
        (D,) box of the coordinates.
    outputs
        Fields.
    layers, width
        Hidden layers, and neurons in each.
    activation
        "tanh" or "sin".
    second_order
        (D,), coefficients of the second-order operator of its jets: 1 for the coordinates of the
        Laplacian, 0 for the others; all ones if left out.
    """

    def __init__(
        self,
        lower: Sequence[float],
        upper: Sequence[float],
        *,
        outputs: int = 1,
        layers: int = 3,
        width: int = 32,
        activation: str = "tanh",
        second_order: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        box = torch.tensor([list(lower), list(upper)], dtype=torch.float64)
        coefficients = torch.tensor(
            [1.0] * len(lower) if second_order is None else list(second_order), dtype=torch.float64
        )
        self.normalise = Normalise(box[0], box[1])
        self.mlp = MLP(
            len(lower),
            outputs,
            layers=layers,
            width=width,
            activation=activation,
            second_order=coefficients,
        )
        self.double()

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, outputs) from the jet of the coordinates."""
        out: Tensor = self.mlp(self.normalise(jet))
        return out
