"""Settings of stage report: the page."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Auto


@dataclass(frozen=True, config=STRICT)
class ReportSettings:
    """Stage report: the page."""

    title: str = "Artificial intelligence velocimetry"
    """Title of the page."""
    phases: Auto | tuple[Annotated[float, Field(ge=0, le=1)], ...] = "auto"
    """Phases of the cycle (t / T), or shares of the window, that are drawn. `auto`: where the flow
    speeds up most, where it is fastest, and where it is reversed or slowest."""
