"""Settings of stage score: errors against held-out tracks and, where known, the truth."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT


@dataclass(frozen=True, config=STRICT)
class ScoreSettings:
    """Stage score: what errors are measured against."""

    truth: str | None = None
    """File with the true fields, where they are known."""
