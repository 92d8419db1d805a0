"""Text files with one row a line: CSV, and what trackpy, TrackMate and MyPTV write."""

from __future__ import annotations

import csv
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aiv_rba.errors import UserError
from aiv_rba.paths import check_file
from aiv_rba.stages.ingest.readers.raw import PLAIN, UNLINKED, RawTable

WHITESPACE = r"\s+"
TRACKPY = PLAIN | {"track": ("particle",)}
TRACKMATE = {
    "t": ("POSITION_T",),
    "frame": ("FRAME",),
    "x": ("POSITION_X",),
    "y": ("POSITION_Y",),
    "z": ("POSITION_Z",),
    "track": ("TRACK_ID",),
}
# MyPTV writes trajectories and, once they are smoothed, velocities and accelerations too.
MYPTV = (
    ("track", "x", "y", "z", "frame"),
    ("track", "x", "y", "z", "u", "v", "w", "ax", "ay", "az", "frame"),
)


@dataclass(frozen=True)
class TextStyle:
    """How numbers stand in a text file.

    Attributes
    ----------
    separator
        A character, "whitespace", or "auto" for whichever splits the first line.
    decimal
        Decimal separator.
    encoding
        Encoding.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"

    @property
    def may_be(self) -> tuple[str, ...]:
        """Kinds of files, as `check_file` names them, that this encoding makes readable."""
        return () if self.codec == "utf-8-sig" else ("UTF-16", "UTF-32")

    @property
    def codec(self) -> str:
        """The encoding, a byte order mark allowed."""
        return "utf-8-sig" if self.encoding.lower().replace("_", "-") == "utf-8" else self.encoding

    def pattern(self, line: str) -> str:
        """What separates the cells of this line, as pandas takes it."""
        if self.separator == "whitespace":
            return WHITESPACE
        if self.separator != "auto":
            return self.separator
        found = {mark: line.count(mark) for mark in (",", ";", "\t")}
        if self.decimal == ",":
            del found[","]
        mark = max(found, key=lambda mark: found[mark])
        return mark if found[mark] else (WHITESPACE if line.split()[1:] else ",")


def first_line(path: Path, style: TextStyle, what: str) -> str:
    """The first line of a text file.

    Raises
    ------
    UserError
        If the file is missing, where `what` says what was expected, empty, or no text.
    """
    check_file(path, what, may_be=style.may_be)
    try:
        with path.open(encoding=style.codec, newline="") as file:
            line = file.readline()
    except (OSError, UnicodeError, LookupError) as error:
        raise UserError(f"{path}: not a readable CSV file: {error}") from None
    if not line:
        raise UserError(f"{path}: empty, expected a header and rows")
    return line.rstrip("\r\n")


def cells_of(line: str, separator: str) -> list[str]:
    """The cells of one line."""
    if separator == WHITESPACE:
        return line.split()
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]


def read_lines(
    path: Path,
    what: str,
    style: TextStyle | None = None,
    *,
    names: list[str] | None = None,
    text: bool = False,
) -> pd.DataFrame:
    """The rows of a text file, indexed by line; blank lines are left out.

    Parameters
    ----------
    path
        The file.
    what
        What it should be, for the message that it is missing.
    style
        How numbers stand in it; by default as in plain CSV.
    names
        Names of the columns of a file without a header.
    text
        Leave every cell the text that it is.

    Raises
    ------
    UserError
        If the file is missing or is no such table.
    """
    style = style or TextStyle()
    first = first_line(path, style, what)
    separator = style.pattern(first)
    header = names is None
    if names is None:
        names = cells_of(first, separator)
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise UserError(f"{path}: line 1: column {twice[0]!r} is there twice, expected once")
    try:
        with warnings.catch_warnings():
            # Of lines that are too long; of columns that are numbers in some of their parts only.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            warnings.simplefilter("ignore", pd.errors.DtypeWarning)
            table = pd.read_csv(
                path,
                sep=separator,
                decimal=style.decimal,
                encoding=style.codec,
                header=None,
                names=names,
                skiprows=int(header),
                index_col=False,
                dtype=str if text else None,
                keep_default_na=False,
                na_values=[""],
                skip_blank_lines=False,
                skipinitialspace=True,
            )
    except pd.errors.EmptyDataError:
        table = pd.DataFrame(columns=names, dtype=np.float64)
    except pd.errors.ParserWarning:
        raise UserError(
            f"{path}: not a readable CSV file: {_too_long(path, style, separator, len(names))}"
        ) from None
    except (pd.errors.ParserError, UnicodeError, OSError, LookupError, ValueError) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise UserError(f"{path}: not a readable CSV file: {reason}") from None
    table.index = pd.RangeIndex(1 + header, 1 + header + len(table))
    # A blank line has no cell in its first column, which most others have.
    candidates = np.flatnonzero(table.iloc[:, 0].isna())
    blank = candidates[table.iloc[candidates].isna().all(axis=1)]
    return table.drop(index=table.index[blank]) if len(blank) else table


def _too_long(path: Path, style: TextStyle, separator: str, expected: int) -> str:
    """Which line has too many cells, in the words of pandas."""
    with path.open(encoding=style.codec, newline="") as file:
        for number, line in enumerate(file, start=1):
            found = len(cells_of(line.rstrip("\r\n"), separator))
            if found > expected:
                return f"Expected {expected} fields in line {number}, saw {found}"
    return f"expected {expected} fields in every line"


def _raw(table: pd.DataFrame, **more: object) -> RawTable:
    line = table.index.to_numpy(dtype=np.int64)
    return RawTable(table, line, place="line", header="line 1", **more)  # type: ignore[arg-type]


def read_csv(path: Path, style: TextStyle) -> RawTable:
    """A CSV file with a header, whatever separates its columns."""
    return _raw(read_lines(path, "a CSV file of tracks", style))


def read_trackpy(path: Path, style: TextStyle) -> RawTable:
    """The table that trackpy.link returns, written as CSV: x, y[, z], frame, particle, ...

    A first column without a name is the index of the table.
    """
    table = read_lines(path, "a CSV file of trackpy", style)
    return _raw(table.drop(columns="", errors="ignore"), names=TRACKPY, measures_velocity=False)


def read_trackmate_csv(path: Path, style: TextStyle) -> RawTable:
    """The spots that TrackMate exports as CSV, with up to three more lines of header.

    A spot without a track has nothing or None in the column TRACK_ID.
    """
    table = read_lines(path, "a CSV file of TrackMate", style)
    units: dict[str, str] = {}
    if "POSITION_X" in table:
        more = pd.to_numeric(table["POSITION_X"].head(3), errors="coerce").isna()
        heads = table.loc[more.index[more]]
        for name in table if len(heads) else []:
            found = re.fullmatch(r"\((.+)\)", str(heads[name].iloc[-1]))
            units |= {name: found[1]} if found else {}
        table = table.drop(index=heads.index)
        table = table.apply(_as_numbers) if len(heads) else table
    if "TRACK_ID" in table:
        track = table["TRACK_ID"]
        none = track.isna() | (track.astype(str) == "None")
        table = table.assign(TRACK_ID=_as_numbers(track.mask(none, UNLINKED)))
    return _raw(table, names=TRACKMATE, measures_velocity=False, units=units)


def _as_numbers(column: pd.Series) -> pd.Series:
    """A column as numbers, or as it is where one cell is none."""
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column


def read_myptv(path: Path, style: TextStyle) -> RawTable:
    """Trajectories of MyPTV: track, x, y, z[, velocities, accelerations], frame; no header."""
    what = "a file of trajectories of MyPTV"
    line = first_line(path, style, what)
    count = len(cells_of(line, style.pattern(line)))
    names = next((names for names in MYPTV if len(names) == count), None)
    if names is None:
        numbers = " or ".join(str(len(names)) for names in MYPTV)
        raise UserError(f"{path}: line 1: found {count} columns, expected {numbers} as of MyPTV")
    table = read_lines(path, what, style, names=list(names))
    return _raw(table, measures_velocity="u" in names)
