"""Settings of stage report: the page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT


@dataclass(frozen=True, config=STRICT)
class ReportSettings:
    """Stage report: the page."""

    title: str = "Artificial intelligence velocimetry"
    """Title of the page."""
    phases: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = (0.0, 0.33, 0.66)
    """Phases of the cycle (t / T) that are drawn."""
