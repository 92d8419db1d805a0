"""Velocities that no tracer has, and rows that belong to no track."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from aiv_rba.files.warnings import InputWarning
from aiv_rba.stages.ingest.plausibility.evidence import Evidence
from aiv_rba.stages.ingest.plausibility.steps import take_steps
from aiv_rba.stages.ingest.tracks import TrackTable

# Shares of the rows from which a warning is due. On the twins no velocity is zero or repeated.
MOST_ZERO, MOST_REPEATED = 0.05, 0.05
# By how much of the rms a repeated velocity must differ from the displacement over time: that of
# a steady flow without noise repeats itself and is right.
FROZEN = 0.01
# An id that has this share of the rows, and so many times the rows of the median track.
MOST_IN_TRACK, TIMES_MEDIAN = 0.2, 10


def check_zero_velocities(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether rows have no velocity."""
    share = float(np.mean(np.all(_columns(evidence.table) == 0, axis=1)))
    names = ", ".join(evidence.table.velocity)
    if share == 1:
        yield InputWarning(
            "zero_velocities", f"the velocities {names} of all rows are zero", fatal=True
        )
    elif share > MOST_ZERO:
        yield InputWarning(
            "zero_velocities",
            f"the velocities {names} of {100 * share:.0f} % of the rows are zero: check whether "
            "zero stands for a velocity that was not found",
        )


def check_repeated_velocities(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether successive rows of a track have the same velocity although its speed changes."""
    share = repeated_share(evidence.table, evidence.config.period)
    if share > MOST_REPEATED:
        yield InputWarning(
            "repeated_velocities",
            f"{100 * share:.0f} % of the rows repeat the velocity of the row before in their "
            "track, which the displacement does not: check whether a tracker kept the last "
            "velocity of a lost particle, or velocities are rounded",
        )


def repeated_share(table: TrackTable, period: float | None) -> float:
    """Share of the steps of tracks at which the velocity, not zero, stays and is not right."""
    steps = take_steps(table.rows(~unlinked(table)), period)
    if steps is None:
        return 0.0
    columns = _columns(steps.before), _columns(steps.after)
    still = np.all(columns[0] == columns[1], axis=1) & np.any(columns[0] != 0, axis=1)
    rms = np.sqrt(np.mean(np.sum(columns[0] ** 2, axis=1)))
    measured = ["uvw".index(name) for name in table.velocity]
    apart = np.linalg.norm(steps.displacement[:, measured] - columns[0], axis=1)
    return float(np.mean(still & (apart > FROZEN * rms)))


def check_links(evidence: Evidence) -> Iterator[InputWarning]:
    """Whether an id stands for rows that belong to no track."""
    table = evidence.table
    rows = unlinked(table)
    if rows.any():
        ids = np.unique(table.track[rows])
        names = ", ".join(map(str, ids[:3])) + (", ..." if len(ids) > 3 else "")
        yield InputWarning(
            "unlinked_rows",
            f"{100 * rows.mean():.0f} % of the rows have the track id {names}, "
            "which probably means that they belong to no track: give each of them an id of its "
            "own, or leave them out",
        )


def unlinked(table: TrackTable) -> NDArray[np.bool_]:
    """(N,) which rows have an id that cannot be that of a track.

    A negative one of several rows, or one that has a large part of all rows and many times those
    of the usual track.
    """
    ids, number, counts = np.unique(table.track, return_inverse=True, return_counts=True)
    large = (counts > MOST_IN_TRACK * len(table)) & (counts > TIMES_MEDIAN * np.median(counts))
    return np.asarray((((ids < 0) & (counts > 1)) | large)[number])


def _columns(table: TrackTable) -> NDArray[np.float64]:
    """Velocities (N, measured components)."""
    return np.stack(list(table.velocity.values()), axis=1)
