"""Settings of stage fields: VTK output."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from aiv_rba.settings.ranks import Device
from aiv_rba.settings.types import STRICT, Count


@dataclass(frozen=True, config=STRICT)
class FieldsSettings:
    """Stage fields: VTK series and hydraulics."""

    times: Count = 12
    """Equally spaced times over the period, or over the window with both its ends; a steady flow
    has one."""
    layers: Count = 12
    """Cells of the volume mesh from the middle of the lumen to its wall: in a tube layers between
    shrunk copies of the wall, in any other vessel cells of a grid for each hydraulic radius."""
    sections: Count = 21
    """Cross-sections of a tube on which the flow rate and the mean pressure are integrated."""
    device: Device = "auto"
    """Evaluate the network on a GPU or on processor cores; auto: on a GPU where one is visible."""
