"""Settings of networks, apart from what a problem adds."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Count, Positive


@dataclass(frozen=True, config=STRICT)
class PerceptronSettings:
    """Architecture of a network."""

    architecture: Literal["mlp", "modified_mlp"] = "mlp"
    """Plain multilayer perceptron, or the modified one of Eqs. 14-17."""
    layers: Count = 3
    """Hidden layers."""
    activation: Literal["sin", "tanh"] = "tanh"
    """Activation function."""
    weight_normalisation: bool = False
    """Train length and direction of the weight vectors apart (Eqs. 18-19)."""


@dataclass(frozen=True, config=STRICT)
class ScalarNetworkSettings(PerceptronSettings):
    """Network of one unknown in two coordinates."""

    width: Count = 32
    """Neurons in each hidden layer."""
    embedding: Literal["none", "fourier_x", "fourier_each", "fourier_xy", "fourier_truncated"] = (
        "none"
    )
    """Periodic embedding: of x, or of each coordinate by itself (Eq. 22), of products of both
    (Eq. 23), or of these without those of two sines (Eq. 31)."""
    harmonics: Count = 5
    """Harmonics of the embedding."""
    first_layer_gain: Positive = 1.0
    """Factor of the first layer's initial weights, whose biases then are spread as widely."""
    distance: bool = False
    """Multiply by a distance function that vanishes on the boundary (Eq. 32)."""
