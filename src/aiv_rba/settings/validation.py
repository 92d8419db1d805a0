"""Settings of a comparison of methods on a known problem."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.networks import ScalarNetworkSettings
from aiv_rba.settings.training import LoopSettings
from aiv_rba.settings.types import STRICT, Count, NonNegative, Positive, Seed


@dataclass(frozen=True, config=STRICT)
class MethodSettings(LoopSettings):
    """One method on one known problem."""

    network: ScalarNetworkSettings = field(default_factory=ScalarNetworkSettings)
    """The network."""
    points: Count = 2000
    """Collocation points; a grid has the nearest square number of nodes."""
    sampling: Literal["latin_hypercube", "grid"] = "latin_hypercube"
    """Where the collocation points lie."""
    boundary_points: Count = 200
    """Points on which initial or boundary values are imposed."""
    boundary_weight: NonNegative = 100.0
    """Global weight of initial and boundary values."""
    seeds: tuple[Seed, ...] = (0,)
    """Seeds, one training each; `seed` is not used."""
    reported: Positive | None = None
    """Relative L2 error that the paper reports for this method, with its own settings."""


@dataclass(frozen=True, config=STRICT)
class Checks:
    """What the methods must reach; errors are means over seeds of the relative L2 error."""

    at_most: dict[str, Positive] = field(default_factory=dict)
    """Largest error of a method."""
    within: dict[str, tuple[Positive, Annotated[float, Field(gt=1)]]] = field(default_factory=dict)
    """Expected error of a method, and the factor by which it may differ either way."""
    better: dict[str, tuple[str, Positive]] = field(default_factory=dict)
    """A method, another one, and how many times more accurate the first must be."""


@dataclass(frozen=True, config=STRICT)
class Comparison:
    """Methods that are compared on one known problem."""

    profile: str
    """Name of the file that lists them."""
    methods: dict[str, MethodSettings]
    """Settings by name; costs are relative to the first."""
    checks: Checks = field(default_factory=Checks)
    """What they must reach."""
    reported: dict[str, Positive] = field(default_factory=dict)
    """Relative L2 errors of the literature, of methods that are not run."""
