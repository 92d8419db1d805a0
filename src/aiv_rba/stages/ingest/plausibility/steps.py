"""Steps from one row of a track to the next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiv_rba.files.formats import Array
from aiv_rba.stages.ingest.tracks import TrackTable
from aiv_rba.stages.ingest.velocities import in_tracks

# A step longer than so many median ones is a gap in its track.
GAP = 1.5
# Longest median step, in periods, over which a velocity is compared with a displacement: the mean
# of two velocities is then that over the step, to a few percent of what oscillates.
LONGEST = 0.1
# Most steps that are looked at.
MOST = 50_000


@dataclass(frozen=True)
class Steps:
    """Steps between successive rows of tracks, SI units.

    Attributes
    ----------
    before, after
        The rows at the two ends.
    displacement
        (N, 3): displacement over time, m/s.
    """

    before: TrackTable
    after: TrackTable
    displacement: Array


def take_steps(table: TrackTable, period: float | None) -> Steps | None:
    """The steps of the tracks, or None if there are none or they are too long to tell anything.

    A flow without a period, s, has None.
    """
    table, same, duration = in_tracks(table, period)
    forward = same & (duration > 0)
    if not forward.any():
        return None
    usual = float(np.median(duration[forward]))
    if period is not None and usual > LONGEST * period:
        return None
    first = np.flatnonzero(forward & (duration <= GAP * usual))
    first = first[:: -(-len(first) // MOST)]
    moved = table.position[first + 1] - table.position[first]
    return Steps(table.rows(first), table.rows(first + 1), moved / duration[first, None])
