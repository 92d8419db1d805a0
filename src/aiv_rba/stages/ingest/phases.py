"""Times of a periodic flow within its period."""

from __future__ import annotations

import numpy as np

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array
from aiv_rba.scales import to_si
from aiv_rba.settings import IngestSettings
from aiv_rba.stages.ingest.columns import Columns
from aiv_rba.time_modes import ROUNDING


def phases(
    time: Array, period: float, columns: Columns, config: IngestSettings
) -> tuple[Array, tuple[str, ...]]:
    """Time of each row in [0, period), s, and what is to be said about it.

    The end of the cycle is its beginning.

    Parameters
    ----------
    time
        (N,): times as they were read, s.
    period
        Period, s.
    columns
        The rows, for messages.
    config
        Whether times are merged already.

    Raises
    ------
    UserError
        If times that are said to be merged lie outside of the cycle.
    """
    if config.phase == "wrap":
        beats = len(np.unique(np.floor(time / period)))
        note = f"times span {np.ptp(time):.4g} s; {beats} beats are merged into one"
        return _within(np.mod(time, period), period), (note,)
    time = _within(time, period)
    outside = (time < 0) | (time >= period)
    if outside.any():
        row = int(np.argmax(outside))
        unit = config.units.time
        second = to_si(unit, "[time]", "ingest.units.time")
        raise UserError(
            f"{columns.where(columns.row[row])}, column t: found {time[row] / second:g} {unit}, "
            f"expected 0 <= t < {period / second:g} {unit}, the period: times are phase-merged, "
            "unless ingest.phase is wrap"
        )
    return time, ()


def _within(time: Array, period: float) -> Array:
    """Times with the end of the cycle put to its beginning."""
    at_end = np.abs(time - period) <= ROUNDING * period
    return np.where(at_end, 0.0, time) if at_end.any() else time
