"""Settings of stage fields: VTK output."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class FieldsSettings:
    """Stage fields: VTK series and hydraulics."""

    times: Count = 12
    """Equally spaced times over the period, or over the window with both its ends; a steady flow
    has one."""
    layers: Count = 12
    """Shrunk copies of the wall in the volume mesh."""
    sections: Count = 21
    """Cross-sections on which the flow rate and the mean pressure are integrated."""
