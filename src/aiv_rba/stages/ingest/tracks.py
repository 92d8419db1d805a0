"""Particle tracks: read, checked line by line, velocities, split."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.paths import check_file
from aiv_rba.scales import to_si
from aiv_rba.settings import Split, Units

MINIMUM_ROWS = 10
_INTEGERS = ("track", "plane", "frame")
_OPTIONAL = ("w", "plane", "frame")


@dataclass(frozen=True)
class TrackTable:
    """Rows of the tracks file, SI units.

    Attributes
    ----------
    line
        (N,): line of the file, the header being line 1.
    time
        (N,): time, s: in the period, or of the recording; zero if the file has none.
    position
        (N, 3), m.
    velocity
        Measured components by name, each (N,), m/s; empty before `differences`.
    track, plane
        (N,): track number as in the file; index of the optical plane.
    nominal_depth
        True if z is only known as the plane of focus (column ``z_plane``).
    """

    line: IntArray
    time: Array
    position: Array
    velocity: dict[str, Array]
    track: IntArray
    plane: IntArray
    nominal_depth: bool

    def __len__(self) -> int:
        return len(self.line)

    def rows(self, chosen: NDArray[np.bool_] | IntArray) -> TrackTable:
        """The chosen rows."""
        return TrackTable(
            line=self.line[chosen],
            time=self.time[chosen],
            position=self.position[chosen],
            velocity={name: values[chosen] for name, values in self.velocity.items()},
            track=self.track[chosen],
            plane=self.plane[chosen],
            nominal_depth=self.nominal_depth,
        )


def read_tracks(
    path: Path, units: Units, period: float | None, *, with_velocity: bool, with_time: bool = True
) -> TrackTable:
    """Read and check the tracks.

    Parameters
    ----------
    path
        CSV file with the columns t, x, y, z or z_plane, u, v, track and perhaps w, plane, frame.
    units
        Units of its columns.
    period
        Period, s, in which the times must lie, [0, period); None if the flow is not periodic.
    with_velocity
        Whether the columns u and v must be there; otherwise they are ignored.
    with_time
        Whether the column t must be there.

    Raises
    ------
    UserError
        At the first column or line that is wrong.
    """
    length = to_si(units.length, "[length]", "ingest.units.length")
    time = to_si(units.time, "[time]", "ingest.units.time")
    speed = to_si(units.velocity, "[length]/[time]", "ingest.units.velocity")
    text = read_csv(path, "a CSV file of tracks")
    depth = _check_columns(path, list(text.columns), with_velocity, with_time)
    table = _numbers(path, text)
    _check_rows(path, table)
    if "t" not in table:
        table["t"] = 0.0
    if period is not None:
        _check_phases(path, table, period / time, units.time)
    components = [name for name in "uvw" if with_velocity and name in table]
    if "plane" in table:
        plane = table["plane"].to_numpy(dtype=np.int64)
    elif depth == "z_plane":
        plane = np.unique(table["z_plane"], return_inverse=True)[1]
    else:
        plane = np.zeros(len(table), dtype=np.int64)
    return TrackTable(
        line=table.index.to_numpy(dtype=np.int64),
        time=table["t"].to_numpy() * time,
        position=table[["x", "y", depth]].to_numpy() * length,
        velocity={name: table[name].to_numpy() * speed for name in components},
        track=table["track"].to_numpy(dtype=np.int64),
        plane=plane,
        nominal_depth=depth == "z_plane",
    )


def read_csv(path: Path, what: str) -> pd.DataFrame:
    """The cells as text, indexed by the line of the file; blank lines are left out.

    Raises
    ------
    UserError
        If the file is missing, where `what` says what was expected, or is not CSV in UTF-8.
    """
    check_file(path, what)
    try:
        # Without header=None, pandas would take the first cell of a line that is one too long as
        # its index, and shift every column.
        text = pd.read_csv(
            path,
            header=None,
            dtype=str,
            keep_default_na=False,
            skip_blank_lines=False,
            skipinitialspace=True,
            encoding="utf-8-sig",
        ).fillna("")
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: empty, expected a header and rows") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path}: not a readable CSV file: {reason}") from None
    text.index += 1
    text.columns = [str(name).strip() for name in text.iloc[0]]
    text = text.iloc[1:]
    return text[(text != "").any(axis=1)]


def _check_columns(path: Path, columns: list[str], with_velocity: bool, with_time: bool) -> str:
    """Check the names of the columns; return the name of the depth column."""
    repeated = [name for name in columns if columns.count(name) > 1]
    if repeated:
        raise UserError(f"{path}: line 1: column {repeated[0]!r} is there twice, expected once")
    if "z" in columns and "z_plane" in columns:
        raise UserError(f"{path}: line 1: found both z and z_plane, expected one of them")
    depth = "z_plane" if "z_plane" in columns else "z"
    time, velocity = ["t"] if with_time else [], ["u", "v"] if with_velocity else []
    required = [*time, "x", "y", depth, *velocity, "track"]
    missing = [name for name in required if name not in columns]
    if missing:
        wanted = "z or z_plane" if missing[0] == "z" else repr(missing[0])
        raise UserError(f"{path}: line 1: column {wanted} is missing, found {', '.join(columns)}")
    unknown = [name for name in columns if name not in {*required, "t", "u", "v", *_OPTIONAL}]
    if unknown:
        allowed = ", ".join(["t", "x", "y", "z or z_plane", "u", "v", "w", "track"])
        raise UserError(
            f"{path}: line 1: unknown column {unknown[0]!r}, expected {allowed}, plane, frame"
        )
    return depth


def _numbers(path: Path, text: pd.DataFrame) -> pd.DataFrame:
    """The cells as numbers."""
    table = text.apply(pd.to_numeric, errors="coerce").astype(np.float64)
    whole = [name for name in _INTEGERS if name in table]
    wrong = ~np.isfinite(table)
    fractional = (table[whole] % 1 != 0) & ~wrong[whole]
    for bad, expected in ((wrong, "a finite number"), (fractional, "an integer")):
        lines, columns = np.nonzero(bad.to_numpy())
        if len(lines):
            line, name = bad.index[lines[0]], bad.columns[columns[0]]
            found = repr(text.at[line, name]) if text.at[line, name] else "nothing"
            raise UserError(
                f"{path}: line {line}, column {name}: found {found}, expected {expected}"
            )
    return table


def _check_rows(path: Path, table: pd.DataFrame) -> None:
    if len(table) < MINIMUM_ROWS:
        raise UserError(
            f"{path}: found {len(table)} rows of data, expected at least {MINIMUM_ROWS}"
        )
    repeated = table.duplicated()
    if repeated.any():
        line = repeated.idxmax()
        first = (table == table.loc[line]).all(axis=1).idxmax()
        raise UserError(f"{path}: line {line}: repeats line {first}, expected every row once")


def _check_phases(path: Path, table: pd.DataFrame, period: float, unit: str) -> None:
    outside = (table["t"] < 0) | (table["t"] >= period)
    if outside.any():
        line = outside.idxmax()
        raise UserError(
            f"{path}: line {line}, column t: found {table.at[line, 't']:g} {unit}, expected 0 <= t "
            f"< {period:g} {unit}, the period: times are phase-merged"
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
