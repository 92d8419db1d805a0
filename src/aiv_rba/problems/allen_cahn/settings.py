"""What a method on Allen-Cahn may set beside what all methods may."""

from __future__ import annotations

from dataclasses import field

from pydantic.dataclasses import dataclass

from aiv_rba.settings import MethodSettings, ScalarNetworkSettings
from aiv_rba.settings.types import STRICT


@dataclass(frozen=True, config=STRICT)
class AllenCahnNetworkSettings(ScalarNetworkSettings):
    """Network of u."""

    kink: bool = False
    """Add the singular part that the initial condition has at x = -1 and 1."""


@dataclass(frozen=True, config=STRICT)
class AllenCahnSettings(MethodSettings):
    """One method on Allen-Cahn."""

    network: AllenCahnNetworkSettings = field(default_factory=AllenCahnNetworkSettings)
    """The network."""
