"""Particle tracks: rows in SI units, split."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.scales import to_si
from aiv_rba.settings import IngestSettings, Split
from aiv_rba.stages.ingest.columns import MINIMUM_ROWS, Source, read_columns, where
from aiv_rba.stages.ingest.phases import phases


@dataclass(frozen=True)
class TrackTable:
    """Rows of the tracks, SI units.

    Attributes
    ----------
    row
        (N,): number of the row of data among those of all files, from 0.
    time
        (N,): time, s: in the period, or of the recording; zero if the file has none.
    position
        (N, 3), m.
    velocity
        Measured components by name, each (N,), m/s; empty before `differences`.
    track, plane
        (N,): number of the track; index of the optical plane.
    nominal_depth
        True if z is only known as the plane of focus.
    deviation
        Standard deviations of those components for which the files give them, each (N,), m/s.
    sources
        The files, for messages.
    notes
        What was left out or found out, for the summary.
    """

    row: IntArray
    time: Array
    position: Array
    velocity: dict[str, Array]
    track: IntArray
    plane: IntArray
    nominal_depth: bool
    deviation: dict[str, Array] = field(default_factory=dict)
    sources: tuple[Source, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.row)

    def rows(self, chosen: NDArray[np.bool_] | IntArray) -> TrackTable:
        """The chosen rows; the table itself if these are all rows in order, to save memory."""
        mask = chosen.dtype == np.bool_
        if chosen.all() if mask else np.array_equal(chosen, np.arange(len(self))):
            return self
        picked: dict[str, Any] = {}
        for entry in fields(self):
            values = getattr(self, entry.name)
            if isinstance(values, np.ndarray):
                picked[entry.name] = values[chosen]
            elif isinstance(values, dict):
                picked[entry.name] = {name: column[chosen] for name, column in values.items()}
        return replace(self, **picked)

    def where(self, row: int) -> str:
        """File and line of the row with this number."""
        return where(self.sources, row)


def read_tracks(config: IngestSettings) -> TrackTable:
    """Read and check the tracks; velocities are empty where they are to be differences.

    Raises
    ------
    UserError
        At the first column or row that is wrong.
    """
    length = to_si(config.units.length, "[length]", "ingest.units.length")
    speed = to_si(config.units.velocity, "[length]/[time]", "ingest.units.velocity")
    columns = read_columns(config.track_files, config, timed=config.flow != "steady")
    table = columns.table
    if len(table) < MINIMUM_ROWS:
        raise UserError(
            f"{config.tracks_named}: found {len(table)} rows of data, expected at least "
            f"{MINIMUM_ROWS}"
        )
    second = to_si(config.units.time, "[time]", "ingest.units.time")
    time = table["t"].to_numpy() * second if "t" in table else np.zeros(len(table))
    notes: tuple[str, ...] = ()
    if config.period is not None:
        time, notes = phases(time, config.period, columns, config)
    depth = "z_plane" if "z_plane" in table else "z"
    if "plane" in table:
        plane = table["plane"].to_numpy(dtype=np.int64)
    elif depth == "z_plane":
        plane = np.unique(table["z_plane"], return_inverse=True)[1]
    else:
        plane = np.zeros(len(table), dtype=np.int64)
    given = {name: f"{name}_std" for name in "uvw" if name in table}
    return TrackTable(
        row=columns.row,
        time=time,
        position=table[["x", "y", depth]].to_numpy() * length,
        velocity={name: table[name].to_numpy() * speed for name in given},
        track=table["track"].to_numpy(dtype=np.int64),
        plane=plane,
        nominal_depth=depth == "z_plane",
        deviation={
            name: table[column].to_numpy() * speed
            for name, column in given.items()
            if column in table and name not in config.velocity_std
        },
        sources=columns.sources,
        notes=(*columns.notes, *notes),
    )


def validation_rows(track: IntArray, split: Split) -> NDArray[np.bool_]:
    """Choose the validation rows by seed.

    By point, the share of training rows is exact to one row. By track, tracks in random order
    join the training side until its share of the rows is as near as whole tracks allow.

    Returns
    -------
    (N,) bool: True for validation.

    Raises
    ------
    UserError
        If a side is empty.
    """
    random = np.random.default_rng(split.seed)
    if split.by == "point":
        order = random.permutation(len(track))
        chosen = order[: round(split.train * len(track))]
        validation = np.ones(len(track), dtype=bool)
        validation[chosen] = False
    else:
        names, number, size = np.unique(track, return_inverse=True, return_counts=True)
        order = random.permutation(len(names))
        share = np.concatenate([[0.0], np.cumsum(size[order])]) / len(track)
        keep = int(np.argmin(np.abs(share - split.train)))
        validation = ~np.isin(number, order[:keep])
    if validation.all() or not validation.any():
        side = "training" if validation.all() else "validation"
        raise UserError(
            f"ingest.split: found no {side} rows with train: {split.train:g} by {split.by} of "
            f"{len(np.unique(track))} tracks and {len(track)} rows, expected some on both sides"
        )
    return validation
