"""Short runs of tracers through a region of any shape, whatever time it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.twin.geometry import Array
from aiv_rba.twin.tracers import Tracking, sightings, spoil

# Most tracers at a time, and frames for which they are followed: short, so that rows fill all
# times, and fewer tracers where few rows are wanted, so that there are many runs even then.
TRACERS, FRAMES = 150, 24
ROWS_PER_TRACER = 50


@dataclass(frozen=True)
class Scenery:
    """What is recorded, in units of the twin.

    Attributes
    ----------
    velocity
        Velocity (N, 3) at points (N, 3) and a time; not a number where there is no fluid.
    seeds
        Where tracers may start: a number of points (N, 3), from which rows may be reached.
    slab
        Number of the slab in which points (..., 3) are seen, below zero for none.
    interval
        Time between two frames.
    window
        Times between which rows are wanted. The velocity must be known a run longer on both
        sides.
    """

    velocity: Callable[[Array, float], Array]
    seeds: Callable[[np.random.Generator, int], Array]
    slab: Callable[[Array], NDArray[np.int64]]
    interval: float
    window: tuple[float, float]

    @property
    def run(self) -> float:
        """How long tracers are followed."""
        return (FRAMES - 1) * self.interval


def record_runs(
    scenery: Scenery, tracking: Tracking, seed: int
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """Tracks t, x, y, z, velocities, track, frame as an experimenter holds them; slab of each row.

    Velocities are central differences over two frame intervals.
    """
    rng = np.random.default_rng(seed)
    begin, end = scenery.window
    tracers = min(TRACERS, tracking.rows // ROWS_PER_TRACER + 1)
    parts: list[pd.DataFrame] = []
    first_track = 0
    while sum(map(len, parts)) < tracking.rows:
        start = rng.uniform(begin - scenery.run, end)
        path = _follow(scenery, scenery.seeds(rng, tracers), start)
        slab = scenery.slab(path)
        lost = rng.random(slab.shape) < tracking.loss
        linked = (slab[:-1] >= 0) & (slab[:-1] == slab[1:]) & ~lost[1:]
        part = sightings(path, linked, scenery.interval, first_track)
        part["t"] = start + part["frame"] * scenery.interval
        part["slab"] = scenery.slab(part[["x", "y", "z"]].to_numpy())
        first_track += part["track"].nunique()
        parts.append(part[part["t"].between(begin, end, inclusive="left")])
    table = pd.concat(parts, ignore_index=True)[: tracking.rows]
    spoil(table, tracking, rng)
    columns = ["t", "x", "y", "z", *tracking.noise, "track", "frame"]
    return table[columns], table["slab"].to_numpy()


def _follow(scenery: Scenery, start: Array, time: float) -> Array:
    """Positions (F, N, 3) at every frame, by the midpoint rule."""
    path = [start]
    for frame in range(FRAMES - 1):
        now = time + frame * scenery.interval
        half = path[-1] + scenery.interval / 2 * scenery.velocity(path[-1], now)
        middle = scenery.velocity(half, now + scenery.interval / 2)
        path.append(path[-1] + scenery.interval * middle)
    return np.stack(path)
