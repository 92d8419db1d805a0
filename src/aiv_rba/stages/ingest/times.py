"""Times of the rows: in a period, in a window of the recording, or none in a steady flow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.columns import MINIMUM_ROWS
from aiv_rba.stages.ingest.tracks import TrackTable


@dataclass(frozen=True)
class Timed:
    """Rows with the times that the flow has.

    Attributes
    ----------
    table
        The rows; those of an unsteady flow are in order of time within every track.
    start, duration
        Where the period or window begins, and how long it is, s; zero in a steady flow.
    notes
        What was done to the times.
    """

    table: TrackTable
    start: float
    duration: float
    notes: tuple[str, ...] = ()


def needs_times(config: IngestSettings) -> bool:
    """Whether the tracks must have times: a steady flow needs them for differences only."""
    return config.flow != "steady" or config.velocities == "differences"


def timed(config: IngestSettings, table: TrackTable) -> Timed:
    """Give rows with velocities the times that the flow has.

    Raises
    ------
    UserError
        If the window holds too few rows, or no more than one time.
    """
    if config.period is not None:
        return Timed(table, 0.0, config.period)
    if config.flow == "steady":
        ignored = table.time.any() and not needs_times(config)
        notes = ("times are ignored, since the flow is steady",) if ignored else ()
        return Timed(replace(table, time=np.zeros(len(table))), 0.0, 0.0, notes)
    return _in_window(config, table)


def _in_window(config: IngestSettings, table: TrackTable) -> Timed:
    first, last = config.window or (float(table.time.min()), float(table.time.max()))
    if first == last:
        raise UserError(
            f"{config.tracks_named}: found {first:g} s as the only time, expected several with "
            "flow: unsteady, or flow: steady"
        )
    table = table.rows(np.lexsort((table.time, table.track)))
    inside = (table.time >= first) & (table.time <= last)
    if inside.sum() < MINIMUM_ROWS:
        raise UserError(
            f"{config.tracks_named}: found {inside.sum()} rows from {first:g} to {last:g} s, "
            f"expected at least {MINIMUM_ROWS} in ingest.window; the times are "
            f"{table.time.min():g} to {table.time.max():g} s"
        )
    notes: tuple[str, ...] = ()
    if not inside.all():
        dropped = int(np.sum(~inside))
        notes = (f"{dropped} rows outside the window from {first:g} to {last:g} s are dropped",)
    return Timed(table.rows(inside), first, last - first, notes)
