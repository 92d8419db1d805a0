"""What the checks of the input look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiv_rba.files.case import Case
from aiv_rba.files.warnings import InputWarning
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.tracks import TrackTable


@dataclass(frozen=True)
class Evidence:
    """The input before and after the ingestion.

    Attributes
    ----------
    config
        Section ``ingest`` of the experiment.
    table
        All rows of the tracks that have velocities, SI units.
    case
        What the ingestion made of them.
    outside, rows
        Rows outside the wall, of how many.
    """

    config: IngestSettings
    table: TrackTable
    case: Case
    outside: int
    rows: int


Check = Callable[[Evidence], Iterator[InputWarning]]
"""Looks at one thing, and yields a warning for each mistake that it sees."""
