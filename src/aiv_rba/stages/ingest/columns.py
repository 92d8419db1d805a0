"""Rows of tracks under the names of quantities: columns found, numbers checked, files joined."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import isclose
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.files.formats import Array, IntArray
from aiv_rba.scales import to_si
from aiv_rba.settings import ReadingSettings
from aiv_rba.stages.ingest.readers import read_raw
from aiv_rba.stages.ingest.readers.raw import UNLINKED, RawTable
from aiv_rba.stages.ingest.readers.text import TextStyle

# Fewest rows, and fewest of them to train on: two for each coefficient of the simplest flow that
# pulsates, in which four functions of space have a mean and a harmonic (`choices.SHAPES`).
MINIMUM_ROWS = 24
WHOLE = ("track", "plane", "frame")
_DEVIATIONS = ("u_std", "v_std", "w_std")
# Key of the unit and dimension of each quantity that has one.
_UNITS = {
    "t": ("time", "[time]"),
    **dict.fromkeys(("x", "y", "z", "z_plane"), ("length", "[length]")),
    **dict.fromkeys((*"uvw", *_DEVIATIONS), ("velocity", "[length]/[time]")),
}
# Most names of columns in a note.
_LISTED = 8


@dataclass(frozen=True)
class Source:
    """A file of tracks, for messages.

    Attributes
    ----------
    path
        The file.
    place
        What its places count: "line" or "row".
    first
        Number of its first row of data among those of all files.
    places
        (N,): place of each row; none where they are lines of plain CSV, row 0 in line 2.
    """

    path: Path
    place: str
    first: int
    places: IntArray | None

    def where(self, row: int) -> str:
        """Where a row stands."""
        own = row - self.first
        number = own + 2 if self.places is None else self.places[own]
        return f"{self.path}: {self.place} {number}"


@dataclass(frozen=True)
class Columns:
    """Rows of all files, in the units of the files.

    Attributes
    ----------
    table
        Numbers: t or else frame, x, y, z or z_plane, track, and perhaps u, v, w, their standard
        deviations, plane, frame.
    row
        (N,): number of each row of data among those of all files, from 0.
    sources
        The files.
    measured
        Whether velocities are read, and not differences along each track.
    notes
        What was left out or found out.
    """

    table: pd.DataFrame
    row: IntArray
    sources: tuple[Source, ...]
    measured: bool
    notes: tuple[str, ...]

    def where(self, row: int) -> str:
        """File and line of the row with this number."""
        return where(self.sources, row)


def where(sources: tuple[Source, ...], row: int) -> str:
    """File and line of the row with this number among those of all files."""
    return next(source for source in reversed(sources) if row >= source.first).where(row)


def read_columns(
    files: tuple[Path, ...],
    settings: ReadingSettings,
    *,
    complete: bool = True,
    timed: bool = True,
) -> Columns:
    """Read files of tracks; numbers of tracks run on from file to file.

    Parameters
    ----------
    files
        Files, or folders where the format has them.
    settings
        How they are read.
    complete
        Whether depths, velocities and times must be there.
    timed
        Whether times must be there; for differences they must.

    Raises
    ------
    UserError
        At the first column or row that is wrong.
    """
    given = settings.plane_depth
    depths = given if isinstance(given, tuple) else (given,) * len(files)
    if len(depths) != len(files):
        raise UserError(
            f"ingest.plane_depth: found {len(depths)} depths, expected one for each of "
            f"{len(files)} files of tracks"
        )
    parts: list[Columns] = []
    rows = tracks = 0
    for path, depth in zip(files, depths, strict=True):
        part = _read_file(path, settings, depth, rows, complete=complete, timed=timed)
        track = part.table["track"]
        if parts:
            part.table["track"] = track = track + (tracks - track.min())
        tracks = int(track.max()) + 1 if len(track) else tracks
        rows = int(part.row.max(initial=rows - 1)) + 1
        parts.append(part)
    if len(parts) == 1:
        return parts[0]
    _check_alike(parts)
    return Columns(
        table=pd.concat([part.table for part in parts], ignore_index=True),
        row=np.concatenate([part.row for part in parts]),
        sources=tuple(source for part in parts for source in part.sources),
        measured=parts[0].measured,
        notes=tuple(note for part in parts for note in part.notes),
    )


def _check_alike(parts: list[Columns]) -> None:
    """Check that all files have the same columns."""
    first = parts[0]
    for part in parts[1:]:
        differing = set(part.table) ^ set(first.table)
        if differing:
            raise UserError(
                f"{part.sources[0].path}: column {min(differing)!r} is in this file or in "
                f"{first.sources[0].path} alone, expected the same columns in all files"
            )


def _read_file(
    path: Path,
    settings: ReadingSettings,
    depth: float | None,
    first: int,
    *,
    complete: bool,
    timed: bool,
) -> Columns:
    style = TextStyle(settings.separator, settings.decimal, settings.encoding)
    kind, raw = read_raw(path, settings.format, style)
    notes = [*raw.notes]
    measured = settings.velocities == "columns" and raw.measures_velocity
    if settings.velocities == "columns" and not measured:
        notes.append(f"{kind} has no velocities, so they are differences along each track")
    found = _find(path, settings, raw, with_depth=depth is None)
    if complete:
        required = _required(found, measured=measured, with_depth=depth is None)
        if timed or not measured:
            required = [_time(path, settings, found), *required]
    else:
        required = ["x", "y", "track", *({"t", "z", "z_plane", "u", "v"} & found.keys())]
    names = _wanted(path, settings, raw, found, required, measured=measured)
    _check_units(path, settings, raw, names)
    extra = [str(name) for name in raw.table if name not in found.values()]
    if extra:
        more = f" and {len(extra) - _LISTED} more" if len(extra) > _LISTED else ""
        notes.append(f"columns that are not used: {', '.join(extra[:_LISTED])}{more}")

    columns = {quantity: _as_numbers(raw.table[name]) for quantity, name in names.items()}
    linked = columns["track"] != UNLINKED
    kept = np.flatnonzero(linked)
    if len(kept) < len(linked):
        notes.append(f"{len(linked) - len(kept)} of {len(linked)} rows belong to no track")
        columns = {name: values[kept] for name, values in columns.items()}
    _check_numbers(path, raw, names, columns, kept)
    table = pd.DataFrame(columns, copy=False)
    line = raw.line[kept]
    _check_once(path, raw.place, table, line)
    if depth is not None:
        table["z_plane"] = depth
    if settings.frame_rate is not None and "frame" in table:
        second = to_si(settings.units.time, "[time]", "ingest.units.time")
        table["t"] = table["frame"] / settings.frame_rate / second
    plain = kind == "csv"
    return Columns(
        table=table,
        row=first + (line - 2 if plain else np.arange(len(line))),
        sources=(Source(path, raw.place, first, None if plain else line),),
        measured=measured,
        notes=tuple(f"{path}: {note}" for note in notes),
    )


def _find(
    path: Path, settings: ReadingSettings, raw: RawTable, *, with_depth: bool
) -> dict[str, str]:
    """Columns of the file by quantity, as the settings or else the format name them."""
    plain = {_split_unit(str(name))[0].lower(): str(name) for name in reversed(list(raw.table))}
    found: dict[str, str] = {}
    named = {str(quantity): column for quantity, column in settings.columns.items()}
    for quantity, names in {**dict.fromkeys(named, ()), **raw.names}.items():
        given = named.get(quantity)
        if given is not None:
            if given not in raw.table:
                raise UserError(
                    f"ingest.columns.{quantity}: found {given!r}, expected a column of {path}: "
                    f"{_listed(raw.table)}"
                )
            found[quantity] = given
            continue
        exact = next((name for name in names if name in raw.table), None)
        alike = next((plain[name.lower()] for name in names if name.lower() in plain), None)
        column = exact or alike
        if column is not None and column not in named.values():
            found[quantity] = column
    if with_depth and "z" in found and "z_plane" in found:
        raise UserError(f"{path}: {raw.header}: found both z and z_plane, expected one of them")
    return found


def _required(found: dict[str, str], *, measured: bool, with_depth: bool) -> list[str]:
    """Quantities that the ingestion needs, besides the time."""
    depth = ["z_plane" if "z_plane" in found else "z"] if with_depth else []
    velocity = ["u", "v"] if measured else []
    return ["x", "y", *depth, *velocity, "track"]


def _time(path: Path, settings: ReadingSettings, found: dict[str, str]) -> str:
    """The quantity that says when."""
    if settings.frame_rate is not None:
        return "frame"
    if "t" not in found and "frame" in found:
        raise UserError(
            f"{path}: found no times but numbers of frames, in {found['frame']!r}, expected "
            "ingest.frame_rate, the frames per second"
        )
    return "t"


def _wanted(
    path: Path,
    settings: ReadingSettings,
    raw: RawTable,
    found: dict[str, str],
    required: list[str],
    *,
    measured: bool,
) -> dict[str, str]:
    """Those columns that are read, in the order of the file.

    Raises
    ------
    UserError
        If some are missing.
    """
    missing = [name for name in required if name not in found]
    if missing:
        called = ["z or z_plane" if name == "z" else repr(name) for name in missing]
        which = f"column {called[0]} is" if len(called) == 1 else f"columns {', '.join(called)} are"
        raise UserError(f"{path}: {raw.header}: {which} missing, found {_listed(raw.table)}")
    optional = ["plane", *(["w", *_DEVIATIONS] if measured else [])]
    if settings.frame_rate is None:
        optional += ["t", "frame"]
    read = {name: column for name, column in found.items() if name in {*required, *optional}}
    order = list(raw.table)
    return dict(sorted(read.items(), key=lambda item: order.index(item[1])))


def _check_units(
    path: Path, settings: ReadingSettings, raw: RawTable, names: dict[str, str]
) -> None:
    """Check that units which a file states are those of the settings."""
    for quantity, column in names.items():
        if quantity not in _UNITS:
            continue
        key, dimension = _UNITS[quantity]
        stated = raw.units.get(column) or _split_unit(column)[1]
        given = getattr(settings.units, key)
        try:
            factor = to_si(stated, dimension, "") if stated else None
        except UserError:
            # Pixels, frames, or a remark that is no unit.
            continue
        expected = to_si(given, dimension, f"ingest.units.{key}")
        if factor is not None and not isclose(factor, expected, rel_tol=1e-6):
            raise UserError(
                f"{path}: column {column!r} is in {stated}, found ingest.units.{key}: {given}, "
                "expected them to agree"
            )


def _split_unit(name: str) -> tuple[str, str]:
    """Name and unit of a column such as ``x [mm]``."""
    found = re.fullmatch(r"(.*?)\s*[\[(](.*)[\])]", name)
    return (found[1], found[2]) if found else (name, "")


def _listed(names: Iterable[object]) -> str:
    # A file that is no text has names that a screen does not show.
    return ", ".join(name if name.isprintable() else repr(name) for name in map(str, names))


def _as_numbers(column: pd.Series) -> Array:
    """The column as numbers, NaN where a cell is none."""
    if not pd.api.types.is_numeric_dtype(column):
        column = pd.to_numeric(column, errors="coerce")
    return np.asarray(column, dtype=np.float64)


def _check_numbers(
    path: Path,
    raw: RawTable,
    names: dict[str, str],
    columns: dict[str, Array],
    kept: NDArray[np.intp],
) -> None:
    """Check that all are numbers, whole or positive ones where they must be."""
    whole = {name: values for name, values in columns.items() if name in WHOLE}
    positive = {name: values for name, values in columns.items() if name in _DEVIATIONS}
    wrong = (
        ({name: ~np.isfinite(values) for name, values in columns.items()}, "a finite number"),
        ({name: values % 1 != 0 for name, values in whole.items()}, "an integer"),
        ({name: values <= 0 for name, values in positive.items()}, "a positive number"),
    )
    for masks, expected in wrong:
        first = {name: int(np.argmax(mask)) for name, mask in masks.items() if mask.any()}
        if first:
            name = min(first, key=lambda name: first[name])
            row = kept[first[name]]
            cell = raw.table[names[name]].iloc[row]
            blank = pd.isna(cell) and raw.place == "line"
            raise UserError(
                f"{path}: {raw.place} {raw.line[row]}, column {names[name]}: found "
                f"{'nothing' if blank else repr(str(cell))}, expected {expected}"
            )


def _check_once(path: Path, place: str, table: pd.DataFrame, line: IntArray) -> None:
    """Check that no row is there twice."""
    # Hashes tell nearly all rows apart, in a tenth of the time.
    repeated = pd.Series(pd.util.hash_pandas_object(table, index=False).to_numpy())
    if not repeated.duplicated().any():
        return
    candidates = np.flatnonzero(repeated.duplicated(keep=False))
    among = table.iloc[candidates]
    again = among.duplicated().to_numpy()
    if again.any():
        second = int(np.argmax(again))
        first = int(np.argmax((among == among.iloc[second]).all(axis=1).to_numpy()))
        raise UserError(
            f"{path}: {place} {line[candidates[second]]}: repeats {place} "
            f"{line[candidates[first]]}, expected every row once"
        )
