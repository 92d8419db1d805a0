"""Rows of the tracks that the user leaves out, from a list of rows or of tracks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiv_rba.errors import UserError
from aiv_rba.stages.ingest.readers.text import read_lines
from aiv_rba.stages.ingest.tracks import TrackTable

KINDS = ("row", "track")


def excluded_rows(path: Path, table: TrackTable, tracks: str) -> NDArray[np.bool_]:
    """Which rows of the tracks a list names.

    Parameters
    ----------
    path
        CSV file with a column `row` (number of the row of data, from 0) or else `track`; other
        columns do not matter, but where there is a column `suspicious`, only lines with a 1 in it
        count. The tables that stage score writes are such files.
    table
        All rows of the tracks.
    tracks
        The files of the tracks, for messages.

    Returns
    -------
    (N,) bool: True for a row that is named.

    Raises
    ------
    UserError
        If the file is missing, has neither column, or names something that the tracks do not have.
    """
    text = read_lines(path, "a CSV file of rows or tracks to exclude", text=True).fillna("")
    names = list(text.columns)
    kind = next((name for name in KINDS if name in names), None)
    if kind is None:
        raise UserError(f"{path}: line 1: found columns {', '.join(names)}, expected row or track")
    if "suspicious" in names:
        text = text[_whole_numbers(path, text.index, "suspicious", text["suspicious"]) == 1]
    numbers = _whole_numbers(path, text.index, kind, text[kind])
    there = table.row if kind == "row" else table.track
    unknown = ~np.isin(numbers, there)
    if unknown.any():
        line, number = text.index[unknown][0], numbers[unknown][0]
        raise UserError(
            f"{path}: line {line}, column {kind}: found {number}, expected a {kind} of {tracks}, "
            f"whose {kind}s are {there.min()} to {there.max()}"
        )
    return np.isin(there, numbers)


def _whole_numbers(
    path: Path, lines: NDArray[np.int64], name: str, cells: NDArray[np.str_]
) -> NDArray[np.int64]:
    numbers = []
    for line, cell in zip(lines, cells, strict=True):
        try:
            numbers.append(int(cell))
        except ValueError:
            raise UserError(
                f"{path}: line {line}, column {name}: found {cell or 'nothing'}, expected a whole "
                "number"
            ) from None
    return np.array(numbers, dtype=np.int64)
