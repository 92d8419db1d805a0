"""Layers that map a jet (K, N, C) to a jet; K = 1 is the plain forward pass."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from aiv_rba import jets


class Linear(nn.Module):
    """Affine layer, Xavier normal weights and zero bias; optionally weight-normalised.

    With `weight_normalisation` the weight vector of a neuron is theta = g v / |v|; Eqs. 18-19.
    """

    def __init__(self, inputs: int, outputs: int, *, weight_normalisation: bool = False) -> None:
        super().__init__()
        self.weight_normalisation = weight_normalisation
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(outputs, inputs)))
        self.bias = nn.Parameter(torch.zeros(outputs))
        if weight_normalisation:
            self.length = nn.Parameter(self.weight.detach().norm(dim=1, keepdim=True))

    @torch.no_grad()
    def spread(self, factor: float) -> None:
        """Widen the initial weights, and spread the biases as widely, so that neurons differ."""
        self.weight.mul_(factor)
        if self.weight_normalisation:
            self.length.mul_(factor)
        bound = float(self.weight.abs().mean())
        self.bias.uniform_(-bound, bound)

    @torch.no_grad()
    def multiply(self, matrix: Tensor) -> None:
        """Multiply the outputs by a matrix (outputs, outputs)."""
        weight, bias = matrix @ self._effective_weight.to(matrix), matrix @ self.bias.to(matrix)
        self.weight.copy_(weight)
        self.bias.copy_(bias)
        if self.weight_normalisation:
            self.length.copy_(weight.norm(dim=1, keepdim=True))

    @property
    def _effective_weight(self) -> Tensor:
        if not self.weight_normalisation:
            return self.weight
        weight: Tensor = self.length * self.weight / self.weight.norm(dim=1, keepdim=True)
        return weight

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, outputs)."""
        return jets.linear(jet, self._effective_weight, self.bias)


class Activation(nn.Module):
    """Elementwise activation function, "sin" or "tanh"."""

    second_order: Tensor

    def __init__(self, name: str, second_order: Tensor) -> None:
        super().__init__()
        self.derivatives = jets.ACTIVATIONS[name]
        self.register_buffer("second_order", second_order, persistent=False)

    def forward(self, jet: Tensor) -> Tensor:
        """Jet of the same shape."""
        return jets.compose(jet, self.derivatives, self.second_order)


class MLP(nn.Module):
    """Multilayer perceptron, plain or modified.

    The modified one mixes two encodings U, V of the input into every hidden layer:
    a <- (1 - a) U + a V; Eqs. 14-17.

    Parameters
    ----------
    inputs, outputs, layers, width
        Sizes; `layers` counts the hidden layers.
    activation
        "sin" or "tanh".
    second_order
        (D,), coefficients of the jet's second-order operator.
    modified, weight_normalisation
        Eqs. 14-17 and 18-19.
    first_layer_gain
        Factor of the first layer's initial weights.
    """

    second_order: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        layers: int,
        width: int,
        activation: str,
        second_order: Tensor,
        modified: bool = False,
        weight_normalisation: bool = False,
        first_layer_gain: float = 1.0,
    ) -> None:
        super().__init__()

        def linear(fan_in: int, fan_out: int) -> Linear:
            return Linear(fan_in, fan_out, weight_normalisation=weight_normalisation)

        widths = [inputs] + [width] * layers
        hidden = [linear(a, b) for a, b in pairwise(widths)]
        if first_layer_gain != 1:
            # Xavier's weights bend too slowly for Gauss-Newton to find short waves.
            hidden[0].spread(first_layer_gain)
        self.hidden = nn.ModuleList(hidden)
        self.out = linear(width, outputs)
        self.activation = Activation(activation, second_order)
        self.encoders = nn.ModuleList(linear(inputs, width) for _ in range(2 if modified else 0))
        self.register_buffer("second_order", second_order, persistent=False)

    @property
    def first(self) -> Linear:
        """The first hidden layer."""
        layer = self.hidden[0]
        assert isinstance(layer, Linear)
        return layer

    def forward(self, jet: Tensor) -> Tensor:
        """Jet (K, N, outputs)."""
        encodings = [self.activation(encode(jet)) for encode in self.encoders]
        for layer in self.hidden:
            jet = self.activation(layer(jet))
            if encodings:
                u, v = encodings
                jet = u + jets.product(jet, v - u, self.second_order)
        out: Tensor = self.out(jet)
        return out


class CoordinateNetwork(nn.Module):
    """A function of the coordinates, whose `forward` maps their jet to its own."""

    def jet(self, points: Tensor, order: jets.Order = 2) -> Tensor:
        """Jet (D + 2, N, C) at points (N, D): value, first derivatives, second-order operator.

        Of order 1 it ends with the derivatives, of order 0 with the value.
        """
        out: Tensor = self(jets.seed(points, order))
        return out

    def value(self, points: Tensor) -> Tensor:
        """Values (N, C) at points (N, D)."""
        return self.jet(points, order=0)[0]
