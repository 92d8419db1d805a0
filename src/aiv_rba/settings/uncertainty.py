"""Settings of the standard deviations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Seed


@dataclass(frozen=True, config=STRICT)
class UncertaintySettings:
    """How standard deviations are found."""

    method: Literal["auto", "curvature", "ensemble", "none"] = "auto"
    """From the curvature of the loss, or from an ensemble of further trainings, each on tracks
    drawn anew with replacement; auto: curvature after Gauss-Newton, none after other optimisers."""
    samples: Annotated[int, Field(ge=8)] = 64
    """Random samples of the curvature; the deviations are right to 1 / sqrt(2 samples)."""
    members: Annotated[int, Field(ge=2)] = 4
    """Further trainings of an ensemble, each of which takes as long as the first."""
    seed: Seed = 0
    """Seed of samples and members."""
