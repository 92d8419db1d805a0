"""Settings of the ranks: the device they compute on, and how long they wait for each other."""

from __future__ import annotations

from typing import Literal

from pydantic.dataclasses import dataclass

from aiv_rba.settings.types import STRICT, Positive

Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True, config=STRICT)
class TimeoutSettings:
    """How long ranks wait for each other before they take one of them for lost and end.

    Training goes on from the last checkpoint when it is started again.
    """

    join_minutes: Positive = 2.0
    """Until all ranks have started."""
    compile_minutes: Positive = 30.0
    """Until the first step of an optimiser is done on all ranks: files are read and the step is
    compiled before."""
    step_minutes: Positive = 5.0
    """In any later step."""
