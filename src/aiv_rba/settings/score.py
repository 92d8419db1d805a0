"""Settings of stage score: errors against held-out tracks and, where known, the truth."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from aiv_rba.settings.ranks import Device
from aiv_rba.settings.types import STRICT


@dataclass(frozen=True, config=STRICT)
class ScoreSettings:
    """Stage score: what errors are measured against."""

    truth: str | None = None
    """True flow, where it is known: a table (CSV or npz) of t, x, y, z and any of u, v, w, p and
    wss in SI units, or the fields of a twin."""
    device: Device = "auto"
    """Evaluate the network on a GPU or on processor cores; auto: on a GPU where one is visible."""
